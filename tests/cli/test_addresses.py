"""URLs: each scheme keeps its paths, mistakes are refused, secrets stay hidden, listings are short."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from raised import has_facts, raises_error
from storages import Bucket, environment, object_store

import padmask

fsspec = pytest.importorskip("fsspec")

from fsspec.implementations.local import LocalFileSystem  # noqa: E402
from fsspec.utils import infer_storage_options  # noqa: E402

Run = Callable[..., subprocess.CompletedProcess[str]]

LINE = '{"input_ids": [1, 2]}\n'
# A key and a secret in Amazon's format, with a slash in the secret, and a signature.
KEY, SECRET, SIGNATURE = "AKIA5EXAMPLE", "wJalr/XUtnF", "5ignature"


@pytest.fixture
def here_is_empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Change to a new empty folder, so that a test notices files written to relative paths."""
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


class Distant(LocalFileSystem):
    """A fake sftp:// server with the files of this machine."""

    protocol = ("sftp",)

    @classmethod
    def _strip_protocol(cls, path: str, **_: object) -> str:
        return infer_storage_options(path)["path"] or "/"

    @staticmethod
    def _get_kwargs_from_urls(_: str) -> dict[str, object]:
        return {}


class Failing(LocalFileSystem):
    """A storage whose errors contain the requested URL."""

    protocol = ("failing",)

    @classmethod
    def _strip_protocol(cls, path: str, **_: object) -> str:
        return infer_storage_options(path)["path"] or "/"

    @staticmethod
    def _get_kwargs_from_urls(url: str) -> dict[str, object]:
        return {"url": url}

    def __init__(self, url: str = "", **more: object) -> None:
        super().__init__(**more)
        self._url = url

    def info(self, path: str, **_: object) -> dict[str, object]:
        raise PermissionError(f"403, url='{self._url.rstrip('/')}{path}?X-Sig={SIGNATURE}'")


class Unreachable(Failing):
    """A storage whose library raises an exception that is no `OSError`."""

    protocol = ("unreachable",)

    def info(self, path: str, **_: object) -> dict[str, object]:
        raise RuntimeError("no route to host")


@pytest.fixture
def distant() -> None:
    fsspec.register_implementation("unreachable", Unreachable, clobber=True)
    fsspec.register_implementation("sftp", Distant, clobber=True)
    fsspec.register_implementation("failing", Failing, clobber=True)


@pytest.mark.parametrize("scheme", ["file", "local", "memory", "sftp", "LOCAL"])
def test_every_scheme_keeps_paths(distant: None, tmp_path: Path, here_is_empty: Path, scheme: str) -> None:
    root = f"{scheme}://host{tmp_path}" if scheme == "sftp" else f"{scheme}://{tmp_path}"
    if scheme == "memory":
        fsspec.filesystem("memory").pipe(f"{tmp_path}/in/a b.jsonl", LINE.encode())
    else:
        (tmp_path / "in").mkdir()
        (tmp_path / "in" / "a b.jsonl").write_text(LINE)
    padmask.pad_file(f"{root}/in/a b.jsonl", f"{root}/out.jsonl")
    padmask.pad_dataset(f"{root}/in/", f"{root}/padded/")
    padmask.unpad_file(f"{root}/out.jsonl", f"{root}/back.jsonl")
    made = ["back.jsonl", "out.jsonl", "padded/_padmask.json", "padded/a b.jsonl"]
    if scheme == "memory":
        memory = fsspec.filesystem("memory")
        assert [name for name in made if not memory.isfile(f"{tmp_path}/{name}")] == []
        text = memory.cat(f"{tmp_path}/back.jsonl").decode()
    else:
        assert [name for name in made if not (tmp_path / name).is_file()] == []
        text = (tmp_path / "back.jsonl").read_text()
    assert json.loads(text) == json.loads(LINE)
    assert list(here_is_empty.iterdir()) == []


def test_root_path_is_kept() -> None:
    memory = fsspec.filesystem("memory")
    memory.pipe("/at-the-root.jsonl", LINE.encode())
    padmask.pad_file("memory:///at-the-root.jsonl", "memory:///at-the-root.parquet")
    assert memory.isfile("/at-the-root.parquet")


@pytest.mark.parametrize("scheme", ["file", "local"])
def test_file_urls_cannot_replace_inputs(here: Run, tmp_path: Path, scheme: str) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.jsonl").write_text(LINE)
    address = f"{scheme}://{tmp_path}/in"
    for args in (
        ("pad", address, "-o", "in/out.jsonl"),
        ("pad", f"{address}/a.jsonl", "-o", "out.jsonl", "--rejects", "in/a.jsonl"),
        ("pad", "in/a.jsonl", "-o", "out.jsonl", "--report", f"{address}/a.jsonl"),
        ("pad", "in/", "-o", f"{address}/"),
    ):
        done = here(*args)
        assert (done.returncode, done.stderr.count("\n")) == (2, 1)
        assert [path.name for path in tmp_path.rglob("*.jsonl")] == ["a.jsonl"]
        assert (tmp_path / "in" / "a.jsonl").read_text() == LINE


def test_api_guards_file_urls(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text(LINE)
    with raises_error(padmask.OutputError, "input folder"):
        padmask.pad_file(f"file://{tmp_path}", tmp_path / "out.jsonl")
    assert [path.name for path in tmp_path.iterdir()] == ["a.jsonl"]


MISTYPED = [
    f"s3:/{KEY}:{SECRET}@b/x",
    f"s3:{KEY}:{SECRET}@b/x",
    f"s3::s3://{KEY}:{SECRET}@b/x",
    f"S3:/{KEY}:{SECRET}@b/x",
    f"s3:///{KEY}:{SECRET}@b/x",
    f"s3//{KEY}:{SECRET}@b/x",
    f"s3:\\\\{KEY}:{SECRET}@b\\x",
    f'"s3://{KEY}:{SECRET}@b/x',
    f" s3://{KEY}:{SECRET}@b/x",
    f"{KEY}:{SECRET}@b/x",
    f"gs:/b/x?X-Goog-Signature={SIGNATURE}",
    f"simplecache::s3://{KEY}:{SECRET}@b/x",
    f"minio:/{KEY}:{SECRET}@b/x",
    f"sftp:/user:{SECRET}@host/x",
    f"s3:/{KEY}:{SECRET}%40b/x",
    f"s3.//{KEY}:{SECRET}@b/x",
    f"s3\uff1a//{KEY}:{SECRET}@b/x",
    f"host.com/x?X-Amz-Signature={SIGNATURE}",
]


def has_secret(*texts: str) -> bool:
    return any(secret in text for secret in (KEY, "wJalr", "XUtnF", SIGNATURE) for text in texts)


@pytest.mark.parametrize("address", MISTYPED)
def test_mistyped_url_is_refused(here: Run, tmp_path: Path, address: str) -> None:
    (tmp_path / "in.jsonl").write_text(LINE)
    for args in (
        ("pad", f"{address}.jsonl"),
        ("pad", f"{address}/*.jsonl"),
        ("pad", "in.jsonl", "-o", f"{address}/"),
        ("pad", "in.jsonl", "-o", f"{address}.jsonl"),
        ("pad", "in.jsonl", "--rejects", f"{address}.jsonl"),
        ("pad", "in.jsonl", "--report", f"json:{address}.json"),
        ("unpad", f"{address}.jsonl"),
        ("unpad", "in.jsonl", "-o", f"{address}.jsonl"),
        ("inspect", f"{address}.jsonl"),
        ("inspect", "in.jsonl", "--export", f"{address}.svg"),
        ("verify", f"{address}.jsonl", "--no-model"),
        ("verify", "in.jsonl", "--no-model", "--report", f"junit:{address}.xml"),
        ("verify", "--model", f"{address}.keras"),
        ("verify", "--model", "m.keras", "--custom-objects", f"{address}.py"),
    ):
        done = here(*args)
        assert (done.returncode, done.stdout) == (2, "")
        assert has_facts(done.stderr, "mistyped")
        assert not has_secret(done.stderr)
        assert [path.name for path in tmp_path.iterdir()] == ["in.jsonl"]


@pytest.mark.parametrize("address", MISTYPED)
def test_api_refuses_mistyped_urls(here_is_empty: Path, tmp_path: Path, address: str) -> None:
    (tmp_path / "in.jsonl").write_text(LINE)
    good, bad = tmp_path / "in.jsonl", f"{address}.jsonl"
    for call in (
        lambda: padmask.pad_file(bad, tmp_path / "out.jsonl"),
        lambda: padmask.pad_file(good, bad),
        lambda: padmask.pad_file(good, tmp_path / "o.jsonl", files=padmask.FileOptions(rejects=bad)),
        lambda: padmask.pad_dataset(bad, tmp_path / "out"),
        lambda: padmask.pad_dataset(good, address),
        lambda: padmask.pad_dataset(good, tmp_path / "out", files=padmask.FileOptions(rejects=bad)),
        lambda: padmask.unpad_file(bad, tmp_path / "out.jsonl"),
        lambda: padmask.unpad_file(good, bad),
        lambda: padmask.inspect_file(bad),
        lambda: padmask.verify_file(bad, proof=None),
    ):
        with raises_error(padmask.SpecError, "mistyped") as caught:
            call()
        assert not has_secret(str(caught.value))
    assert [path.name for path in tmp_path.iterdir() if path != here_is_empty] == ["in.jsonl"]
    assert list(here_is_empty.iterdir()) == []


def test_path_object_of_url_is_refused(tmp_path: Path) -> None:
    # Path("s3://b/x") is s3:/b/x.
    with raises_error(padmask.SpecError, "mistyped"):
        padmask.pad_file(Path("s3://b/x.jsonl"), tmp_path / "out.jsonl")


@pytest.mark.parametrize("name", ["s3:x.jsonl", "12:30@x.jsonl", "data:/x.jsonl"])
def test_dot_slash_marks_a_file(here: Run, tmp_path: Path, name: str) -> None:
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text(LINE)
    assert here("pad", name).returncode == 2
    done = here("pad", f"./{name}", "-o", f"./{name}.gz")
    assert (done.returncode, f"./{name}.gz: maxlen 2" in done.stderr) == (0, True)
    # A pattern finds names, not URLs.
    done = here("pad", "**/*x.jsonl", "-o", "out/", "--report", "report.json")
    assert (done.returncode, (tmp_path / "out" / name).is_file()) == (0, True), done.stderr


@pytest.mark.parametrize(
    "args",
    [
        (f"s3://{KEY}:{SECRET}@b/x",),
        ("pad", "in.jsonl", f"--output-forma=s3://{KEY}:{SECRET}@b/x"),
        ("pad", "in.jsonl", "--maxlen", f"s3://{KEY}:{SECRET}@b/x"),
        ("pad", "in.jsonl", "--padding", f"s3://{KEY}:{SECRET}@b/x"),
        ("pad", "in.jsonl", "-o", "out/", "--cluster", f"tcp://{KEY}:{SECRET}@127.0.0.1:1"),
        ("verify", "in.jsonl", "--predict", f"s3://{KEY}:{SECRET}@b/x:f"),
        ("verify", "in.jsonl", "--no-model", "--report", f"gs:/{KEY}:{SECRET}@b/x"),
        ("verify", "in.jsonl", "--no-model", "--allow", f"s3://{KEY}:{SECRET}@b/x"),
    ],
    ids=lambda args: " ".join(args[:-1])[:30] or "command",
)
def test_misplaced_secrets_stay_hidden(here: Run, tmp_path: Path, args: tuple[str, ...]) -> None:
    (tmp_path / "in.jsonl").write_text(LINE)
    done = here(*args)
    assert done.returncode == 2
    assert "Error: " in done.stderr
    assert not has_secret(done.stdout, done.stderr)


def test_storage_errors_hide_secrets(distant: None, here: Run, tmp_path: Path) -> None:
    address = f"failing://{KEY}:{SECRET.replace('/', '%2F')}@host/x.jsonl"
    done = here("pad", address)
    assert done.returncode == 2
    assert "403" in done.stderr
    assert not has_secret(done.stderr)
    with pytest.raises(padmask.PadmaskError, match="403") as caught:
        padmask.pad_file(address, tmp_path / "out.jsonl")
    assert not has_secret(str(caught.value))


@pytest.fixture
def log(tmp_path: Path) -> Iterator[Path]:
    """Start an object store and return its log of requests."""
    pytest.importorskip("moto")
    with object_store(tmp_path / "log") as reached, environment(reached):
        yield tmp_path / "log"


@pytest.mark.slow
def test_inputs_are_listed_once(log: Path, here: Run) -> None:
    bucket = Bucket("test-listed")
    for name in ("a.jsonl", "deep/b.jsonl", "notes.txt"):
        bucket.write(f"data/{name}", LINE.encode())
    for path in ("data/", "data/**/*"):
        for args in (
            ("pad", bucket.url(path), "-o", "out.jsonl"),
            ("pad", bucket.url(path), "-o", "out/", "--workers", "1", "--delete"),
            ("unpad", bucket.url(path), "-o", "out.jsonl"),
            ("inspect", bucket.url(path), "--workers", "1"),
            ("verify", bucket.url(path), "--no-model"),
        ):
            before = log.stat().st_size
            done = here(*args)
            asked = log.read_text()[before:].splitlines()
            assert "a.jsonl" in "".join(asked), done.stderr
            listings = [line for line in asked if "max-keys=1000" in line and "prefix=data" in line]
            assert len(listings) == 1, listings
            if args[0] == "pad":
                assert "notes.txt" in done.stderr


@pytest.mark.slow
def test_single_object_is_not_listed(log: Path, here: Run) -> None:
    url = Bucket("test-one").write("data/a.jsonl", LINE.encode())
    assert here("pad", url, "-o", "out.jsonl").returncode == 0
    asked = log.read_text().splitlines()
    assert [line for line in asked if "list-type=2" in line and "prefix=data" in line] == []


@pytest.mark.parametrize("end", ["", "/b/x", "%40b/x"])
@pytest.mark.parametrize("scheme", ["s3", "gs", "sftp"])
def test_malformed_credentials_stay_hidden(here: Run, tmp_path: Path, scheme: str, end: str) -> None:
    (tmp_path / "in.jsonl").write_text(LINE)
    address = f"{scheme}://{KEY}:{SECRET.replace('/', '')}{end}"
    for args in (("pad", address), ("pad", "in.jsonl", "-o", address), ("inspect", address)):
        done = here(*args)
        assert (done.returncode, done.stdout) == (2, "")
        assert has_facts(done.stderr, "@", "secret", "bucket")
        assert not has_secret(done.stderr)


@pytest.mark.parametrize("option", ["-o", "--rejects", "--report"])
def test_memory_url_is_not_an_output(here: Run, tmp_path: Path, option: str) -> None:
    (tmp_path / "in.jsonl").write_text(LINE)
    done = here("pad", "in.jsonl", option, "memory://x/y.jsonl")
    assert (done.returncode, done.stdout) == (2, "")
    assert has_facts(done.stderr, "memory://", "process")


def test_errors_of_libraries_are_reported(distant: None, tmp_path: Path) -> None:
    with pytest.raises(padmask.PadmaskError, match="no route to host") as caught:
        padmask.pad_file("unreachable://host/x.jsonl", tmp_path / "out.jsonl")
    assert "unreachable://host/x.jsonl" in str(caught.value)

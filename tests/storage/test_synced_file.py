"""A file that is written to disk while more bytes are computed."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from padmask.storage import synced_file
from padmask.storage.synced_file import SyncedFile


@pytest.fixture
def synced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The size of the file at each early flush. There is an early flush after every ten bytes."""
    sizes: list[int] = []
    monkeypatch.setattr(synced_file, "EARLY_BYTES", 10)
    monkeypatch.setattr(synced_file, "_sync_data", lambda number: sizes.append(os.fstat(number).st_size))
    return sizes


def open_file(folder: Path) -> SyncedFile:
    return SyncedFile(os.open(folder / "out", os.O_CREAT | os.O_WRONLY))


def test_bytes_are_flushed_early(tmp_path, synced):
    with open_file(tmp_path) as file:
        for _ in range(4):
            file.write(b"12345678")
            if file._early is not None:
                file._early.result()
        file.sync()
    assert synced == [16, 32]
    assert (tmp_path / "out").read_bytes() == b"12345678" * 4


def test_small_file_starts_no_thread(tmp_path, synced):
    with open_file(tmp_path) as file:
        file.write(b"123456789")
        file.sync()
        assert file._pool is None
    assert not synced


@pytest.mark.parametrize("later", ["write", "sync"])
def test_error_of_the_thread_is_raised(tmp_path, synced, monkeypatch, later):
    def fail(_: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(synced_file, "_sync_data", fail)
    with open_file(tmp_path) as file:
        file.write(b"1234567890")
        with pytest.raises(OSError, match="Input/output error"):
            file._early.exception()
            file.write(b"1234567890") if later == "write" else file.sync()

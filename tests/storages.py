"""A local object store: moto in a separate process, on the loopback interface."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow.fs as fs

SECONDS = 30
# The process listens on a free port and prints the port number.
SERVE = """
import sys
from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import make_server
app = DomainDispatcherApplication(create_backend_app)
server = make_server("127.0.0.1", 0, app, threaded=True)
print(server.port, flush=True)
server.serve_forever()
"""


@contextmanager
def object_store(log: Path) -> Iterator[dict[str, str]]:
    """Start a store that logs its requests, and yield the environment that reaches the store."""
    with (
        log.open("wb") as said,
        subprocess.Popen(
            [sys.executable, "-c", SERVE], stdout=subprocess.PIPE, stderr=said, text=True
        ) as server,
    ):
        assert server.stdout is not None
        port = int(server.stdout.readline())
        try:
            yield {
                "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
                "AWS_ACCESS_KEY_ID": "key",
                "AWS_SECRET_ACCESS_KEY": "secret",
                "AWS_DEFAULT_REGION": "us-east-1",
                "AWS_EC2_METADATA_DISABLED": "true",
            }
        finally:
            server.kill()


@contextmanager
def environment(more: dict[str, str]) -> Iterator[None]:
    """Set these variables for this process and its children."""
    before = dict(os.environ)
    os.environ.update(more)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


class Bucket:
    """A bucket, accessed without padmask."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.store = fs.S3FileSystem(
            endpoint_override=os.environ["AWS_ENDPOINT_URL"], region="us-east-1", allow_bucket_creation=True
        )
        self.store.create_dir(name)

    def names(self, below: str = "") -> list[str]:
        selector = fs.FileSelector(f"{self.name}/{below}", recursive=True, allow_not_found=True)
        found = [info.path for info in self.store.get_file_info(selector) if info.is_file]
        return sorted(path.removeprefix(f"{self.name}/") for path in found)

    def read(self, name: str) -> bytes:
        with self.store.open_input_file(f"{self.name}/{name}") as file:
            return bytes(file.read())

    def write(self, name: str, data: bytes) -> str:
        with self.store.open_output_stream(f"{self.name}/{name}", compression=None) as file:
            file.write(data)
        return self.url(name)

    def url(self, name: str = "") -> str:
        return f"s3://{self.name}/{name}"


def wait_until(true: Any) -> None:
    """Wait up to some seconds until a condition is true."""
    end = time.monotonic() + SECONDS
    while not true():
        assert time.monotonic() < end, "nothing happened"
        time.sleep(0.01)

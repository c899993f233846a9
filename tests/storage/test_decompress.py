"""gzip and zstd streams as other programs write them."""

from __future__ import annotations

import gzip
import io
import struct
import zlib

import pyarrow as pa
import pytest

from padmask.storage.decompress import open_decompressed

A, B = b'{"input_ids": [1]}\n', b'{"input_ids": [2, 3]}\n' * 40_000

ZSTD = pa.compress(A, codec="zstd", asbytes=True)


def read(data: bytes, codec: str, size: int = 1000) -> bytes:
    stream = open_decompressed(io.BytesIO(data), codec)
    return b"".join(iter(lambda: bytes(stream.read(size)), b""))


@pytest.mark.parametrize("size", [1, 1000, 1 << 20])
@pytest.mark.parametrize(
    ("data", "text"),
    [
        (gzip.compress(A), A),
        (gzip.compress(A) + gzip.compress(A), A + A),
        (gzip.compress(A) + bytes(1), A),
        (gzip.compress(A) + bytes(1_000_000), A),
        (gzip.compress(A) + bytes(1_000_000) + gzip.compress(A), A + A),
        (gzip.compress(b"") + gzip.compress(A), A),
        (b"", b""),
    ],
    ids=[
        "one member",
        "two members",
        "a zero",
        "many zeros",
        "zeros between",
        "empty member",
        "empty",
    ],
)
def test_gzip_in_chunks(data: bytes, text: bytes, size: int) -> None:
    assert read(data, "gzip", size) == text


def test_long_gzip() -> None:
    assert read(gzip.compress(B) + bytes(9), "gzip", 1 << 18) == B


@pytest.mark.parametrize("cut", [1, 8, 20])
def test_truncated_gzip_is_an_error(cut: int) -> None:
    with pytest.raises(EOFError):
        read(gzip.compress(A)[:-cut], "gzip")


@pytest.mark.parametrize(
    "data",
    [gzip.compress(A) + b"x", bytes(3) + gzip.compress(A), A, gzip.compress(A)[:-5] + b"12345"],
    ids=["text after", "zeros before", "plain text", "checksum"],
)
def test_other_bytes_are_an_error(data: bytes) -> None:
    with pytest.raises((zlib.error, EOFError)):
        read(data, "gzip")


@pytest.mark.parametrize("number", [0, 7, 15])
def test_skippable_frames_of_zstd(number: int) -> None:
    frame = struct.pack("<II", 0x184D2A50 + number, 5) + b"hello"
    assert read(frame + ZSTD + frame + ZSTD + frame, "zstd") == A + A

"""A large file to a bucket and back, over a connection that is cut on the way.

    python -m benchmarks.object_storage [--gigabytes 5] [--json]

A real S3 server (``rclone serve s3``) stores the object in a temporary folder. The file is
generated as it is read and never stored on this side; the download is hashed and dropped. Each
direction runs once uninterrupted and once with all connections cut at 60 %, for a second.
``again_mib``: bytes transferred beside the object: headers, and bytes transferred twice. Memory is
this process's, in which the proxy runs but not the server, sampled every 20 ms.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import click
import psutil

from benchmarks.environments import json_option, print_rows
from playhead.media.object_storage import PART_BYTES, Bucket
from tests.support.s3_server import KEY, SECRET, TcpProxy, open_proxy, serve_s3

_CUT_SHARE = 0.6
_DOWN_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Row:
    """One direction, once."""

    way: str
    gib: float
    seconds: float
    mib_a_second: float
    before_mib: float
    peak_mib: float
    cuts: int
    again_mib: float
    same: bool


class HashingSink:
    """A file-like object that hashes and drops its data."""

    def __init__(self) -> None:
        self.digest = hashlib.sha256()
        self._size = 0

    def tell(self) -> int:
        return self._size

    def write(self, data: memoryview, /) -> int:
        self.digest.update(data)
        self._size += len(data)
        return len(data)


class PeakMemory:
    """The maximum memory of this process, in MiB."""

    def __init__(self) -> None:
        self._process = psutil.Process()
        self.before = self.maximum = self._now()

    def _now(self) -> float:
        return float(self._process.memory_info().rss / 2**20)

    @contextmanager
    def watch(self) -> Iterator[None]:
        done = threading.Event()

        def poll() -> None:
            while not done.wait(0.02):
                self.maximum = max(self.maximum, self._now())

        watcher = threading.Thread(target=poll)
        watcher.start()
        try:
            yield
        finally:
            done.set()
            watcher.join()


def make_parts(size: int) -> Iterator[bytes]:
    """Yield parts that are all different."""
    noise = os.urandom(PART_BYTES)
    for start in range(0, size, PART_BYTES):
        part = start.to_bytes(8) + noise[8:]
        yield part[: size - start]


def send(bucket: Bucket, size: int) -> str:
    digest = hashlib.sha256()

    def hash_parts() -> Iterator[bytes]:
        for part in make_parts(size):
            digest.update(part)
            yield part

    bucket.upload("large", hash_parts(), size)
    return digest.hexdigest()


def fetch(bucket: Bucket) -> str:
    stored = bucket.find("large")
    if stored is None:
        raise click.ClickException("The object that was just sent is not there.")
    hashing_sink = HashingSink()
    bucket.download(stored, hashing_sink)
    return hashing_sink.digest.hexdigest()


def measure(way: str, bucket: Bucket, proxy: TcpProxy, size: int, sums: set[str]) -> Row:
    sent, received, cuts = proxy.sent, proxy.received, proxy.cuts
    peak, started_at = PeakMemory(), time.monotonic()
    with peak.watch():
        sums.add(send(bucket, size) if way.startswith("up") else fetch(bucket))
    seconds = time.monotonic() - started_at
    transferred = proxy.sent - sent if way.startswith("up") else proxy.received - received
    return Row(
        way=way,
        gib=round(size / 2**30, 2),
        seconds=round(seconds, 1),
        mib_a_second=round(size / 2**20 / seconds),
        before_mib=round(peak.before),
        peak_mib=round(peak.maximum),
        cuts=proxy.cuts - cuts,
        again_mib=round((transferred - size) / 2**20, 2),
        same=len(sums) == 1,
    )


def rows(folder: Path, size: int) -> Iterator[Row]:
    sums: set[str] = set()
    with serve_s3(folder / "served", etag_hash="") as server, open_proxy(server) as proxy:
        server.bucket("trial")
        proxy.down_seconds = _DOWN_SECONDS
        bucket = Bucket("s3://trial", endpoint=proxy.endpoint)
        for way in ("up", "up, cut at 60 %"):
            if "cut" in way:
                bucket.delete("large")
                sums.clear()
                proxy.cut_when_sent = proxy.sent + int(size * _CUT_SHARE)
            yield measure(way, bucket, proxy, size, sums)
        yield measure("down", bucket, proxy, size, sums)
        proxy.cut_when_received = proxy.received + int(size * _CUT_SHARE)
        yield measure("down, cut at 60 %", bucket, proxy, size, sums)


@click.command()
@click.option("--gigabytes", default=5.0, show_default=True, help="Of 2**30 bytes.")
@json_option
def main(gigabytes: float, as_json: bool) -> None:
    """Measure the upload and download of one large object."""
    os.environ |= {"AWS_ACCESS_KEY_ID": KEY, "AWS_SECRET_ACCESS_KEY": SECRET}
    with tempfile.TemporaryDirectory(prefix="playhead-") as folder:
        print_rows(rows(Path(folder), int(gigabytes * 2**30)), as_json=as_json)


if __name__ == "__main__":
    main()

"""Clips begin at the requested second, whatever the source format."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from playhead.core.audio import Samples
from playhead.core.errors import MediaMissing, TimeOutOfRange, UnreadableMedia
from playhead.exports.clips import SUFFIXES, ClipRange, write_clip
from playhead.media.bucket_store import BucketStore
from playhead.media.decode import RATE, PcmFormat, decode, decode_range
from playhead.media.download_cache import DownloadCache
from playhead.media.object_storage import Bucket
from playhead.media.probe import probe
from tests.support import factories, media_files
from tests.support.s3_server import TcpProxy


def decode_all(path: Path) -> Samples:
    return np.concatenate(list(decode(path)))


def write_and_decode(source: Path, start: float, end: float, output: Path) -> Samples:
    """Write a clip of the source and return its samples."""
    facts = probe(source)
    write_clip(source, facts, ClipRange.between(facts.duration_seconds, start, end), output)
    return decode_all(output)


def delay_of(clip: Samples, source: Samples, start: float) -> float:
    """Return how many seconds after ``start`` the clip begins, by cross-correlation."""
    size = 1 << (len(source) + len(clip)).bit_length()
    product = np.fft.rfft(source, size) * np.conj(np.fft.rfft(clip, size))
    return abs(int(np.argmax(np.fft.irfft(product))) / RATE - start)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_clip_of_any_format_begins_and_ends_exactly(tmp_path: Path, suffix: str) -> None:
    source = media_files.SPEECH / "en_jfk.flac"
    clip = write_and_decode(source, 3.21, 7.6, tmp_path / f"clip{suffix}")
    assert delay_of(clip, decode_all(source), 3.21) < 0.005
    assert len(clip) / RATE == pytest.approx(4.39, abs=0.1)


@pytest.mark.parametrize("name", ["a.mp3", "a.avi", "a.ts", "a.wma", "late.mp4", "holes.webm"])
def test_clip_of_any_recording_begins_at_the_players_time(tmp_path: Path, name: str) -> None:
    sound, path = media_files.speech(), tmp_path / name
    if name == "late.mp4":
        media_files.make_video(path, sound, late=2.5)
    else:
        media_files.make_audio(path, sound, gaps=[(2.0, 3.0)] if name == "holes.webm" else ())
    clip = write_and_decode(path, 6.5, 9.0, tmp_path / "clip.flac")
    assert delay_of(clip, decode_all(path), 6.5) < 0.05
    assert len(clip) == pytest.approx(2.5 * RATE, abs=2)


def test_lossless_clip_has_the_same_samples(tmp_path: Path) -> None:
    source = media_files.SPEECH / "en_jfk.flac"
    clip = write_and_decode(source, 1.0, 2.0, tmp_path / "clip.wav")
    assert np.array_equal(clip, decode_all(source)[RATE : 2 * RATE])


def test_clip_keeps_both_stereo_channels(tmp_path: Path) -> None:
    left = media_files.tone(2)
    source = media_files.make_stereo(tmp_path / "call.wav", np.stack([left, 0 * left]))
    write_and_decode(source, 0.5, 1.5, tmp_path / "clip.flac")
    sides = np.concatenate(list(decode_range(tmp_path / "clip.flac", PcmFormat(RATE, 2), 0.0, 1.0)))
    assert np.abs(sides[:, 0]).max() > 9000
    assert np.abs(sides[:, 1]).max() == 0


def test_clip_may_be_the_whole_recording(tmp_path: Path) -> None:
    source = media_files.SPEECH / "en_jfk.flac"
    assert np.array_equal(
        write_and_decode(source, 0.0, 11.0, tmp_path / "clip.flac"), decode_all(source)
    )


def test_long_clip_does_not_fill_memory(tmp_path: Path) -> None:
    source = media_files.make_silence(tmp_path / "long.flac", 300)
    facts = factories.make_media_facts(300.0)
    tracemalloc.start()
    write_clip(source, facts, ClipRange(5.0, 295.0), tmp_path / "clip.flac")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 4_000_000  # bytes; as samples they are 9 MB
    assert probe(tmp_path / "clip.flac").duration_seconds == 290


@pytest.mark.parametrize(
    ("start", "end"), [(-1, 2), (5, 5), (7, 3), (9, 12), (20, 30), (float("nan"), 3), (0, 1e999)]
)
def test_seconds_outside_the_recording_are_rejected(start: float, end: float) -> None:
    with pytest.raises(TimeOutOfRange, match=r"the recording of 11\.00 seconds"):
        ClipRange.between(11.0, start, end)


def test_clip_around_a_second_stops_at_the_ends() -> None:
    assert ClipRange.around(60.0, 30.0) == ClipRange(20.0, 40.0)
    assert ClipRange.around(60.0, 2.0) == ClipRange(0.0, 12.0)
    assert ClipRange.around(11.0, 11.0) == ClipRange(1.0, 11.0)
    with pytest.raises(TimeOutOfRange):
        ClipRange.around(11.0, 11.5)


def test_clip_of_a_broken_file_is_removed(tmp_path: Path) -> None:
    source = media_files.make_audio(tmp_path / "a.mp3", media_files.speech())
    facts = probe(source)
    source.write_bytes(b"no sound any more")
    with pytest.raises(UnreadableMedia):
        write_clip(source, facts, ClipRange(1.0, 2.0), tmp_path / "clip.opus")
    assert {path.name for path in tmp_path.iterdir()} == {"a.mp3"}


def test_clip_from_a_bucket_leaves_no_local_copy(tmp_path: Path, url: str, proxy: TcpProxy) -> None:
    cache = DownloadCache(tmp_path / "spool")
    store = BucketStore(Bucket(f"{url}/media", endpoint=proxy.endpoint), cache)
    recording, source = factories.make_recording(), media_files.SPEECH / "en_jfk.flac"
    with pytest.raises(MediaMissing), store.open_local(recording):
        pass
    store.commit(store.stage(source), recording)
    with store.open_local(recording) as path:
        clip = write_and_decode(path, 4.0, 6.0, tmp_path / "clip.opus")
    assert delay_of(clip, decode_all(source), 4.0) < 0.05
    assert cache.names() == []

"""Decoded sound is at the time at which a player would play it."""

from __future__ import annotations

import random
import tracemalloc
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

from playhead.core.audio import Samples
from playhead.core.errors import NoAudioTrack, PermanentError
from playhead.media.decode import RATE, AudioChannel, decode
from playhead.media.probe import probe
from tests.support import media_files

TIMED = (".m4a", ".mkv", ".mov", ".mp4", ".webm")  # containers that say when a track starts


def decode_all(path: Path) -> Samples:
    return np.concatenate(list(decode(path)))


def find_offset(sound: Samples, clip: Samples) -> float:
    """Return the second of ``sound`` at which ``clip`` begins, by cross-correlation."""
    size = 1 << (len(sound) + len(clip)).bit_length()
    product = np.fft.rfft(sound, size) * np.conj(np.fft.rfft(clip, size))
    at = int(np.argmax(np.fft.irfft(product)))
    return (at if at < size // 2 else at - size) / RATE


@pytest.mark.parametrize("suffix", TIMED)
def test_late_track_starts_at_its_time(tmp_path: Path, suffix: str) -> None:
    sound = media_files.speech("en_austen_0890")
    late = decode_all(media_files.make_video(tmp_path / f"late{suffix}", sound, late=2.5))
    assert find_offset(late, sound) == pytest.approx(2.5, abs=0.01)
    assert np.abs(late[: 2 * RATE]).max() == 0


@pytest.mark.parametrize("suffix", [".mkv", ".webm"])
def test_sound_after_a_hole_keeps_its_time(tmp_path: Path, suffix: str) -> None:
    before, after = media_files.speech("en_austen_0880"), media_files.speech("en_austen_0890")
    hole = (len(before) / RATE, 7.0)
    path = media_files.make_audio(
        tmp_path / f"holes{suffix}", np.concatenate([before, after]), gaps=[hole]
    )
    sound = decode_all(path)
    assert find_offset(sound, before) == pytest.approx(0, abs=0.01)
    assert find_offset(sound, after) == pytest.approx(sum(hole), abs=0.05)
    assert np.abs(sound[4 * RATE : 9 * RATE]).max() == 0


def test_small_holes_do_not_add_up(tmp_path: Path) -> None:
    clip = media_files.speech("en_austen_0890")
    holes = [(second / 10, 0.03) for second in range(1, 40)]
    path = media_files.make_webm(
        tmp_path / "stutter.webm", np.concatenate([media_files.silence(5), clip]), gaps=holes
    )
    assert find_offset(decode_all(path), clip) == pytest.approx(5 + 39 * 0.03, abs=0.06)


@pytest.mark.parametrize("suffix", [".flac", ".m4a", ".mp3", ".ogg", ".opus", ".wav", ".webm"])
def test_encoder_delay_shifts_nothing(tmp_path: Path, suffix: str) -> None:
    sound = media_files.speech()
    decoded = decode_all(media_files.make_audio(tmp_path / f"sound{suffix}", sound))
    assert find_offset(decoded, sound) == pytest.approx(0, abs=0.005)


@pytest.mark.parametrize("suffix", [".flac", ".webm", ".m4a", ".ogg"])
def test_damaged_packets_keep_the_rest_in_place(tmp_path: Path, suffix: str) -> None:
    sound = media_files.speech()
    path = media_files.damage(
        media_files.make_audio(tmp_path / f"scratched{suffix}", sound), at=0.4
    )
    tail = sound[8 * RATE :]
    assert find_offset(decode_all(path), tail) == pytest.approx(8, abs=0.06)


@pytest.mark.parametrize("suffix", media_files.SUFFIXES)
def test_decoded_duration_matches_the_probe(tmp_path: Path, suffix: str) -> None:
    path = media_files.make_audio(tmp_path / f"sound{suffix}", media_files.speech("en_austen_0890"))
    assert len(decode_all(path)) / RATE == pytest.approx(probe(path).duration_seconds, abs=0.002)


def test_decoded_blocks_are_small_for_any_length(tmp_path: Path) -> None:
    path = media_files.make_silence(tmp_path / "long.flac", 600)
    tracemalloc.start()
    total = 0
    for block in decode(path):
        assert block.ndim == 1
        assert block.dtype == np.float32
        total += len(block)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert total == 600 * RATE
    assert peak < 8_000_000  # bytes; ten minutes are 38 MB


def test_track_with_changing_channels_stays_in_place(tmp_path: Path) -> None:
    sound = media_files.speech("en_austen_0890")
    mono = media_files.make_audio(tmp_path / "mono.mp3", sound)
    stereo = media_files.make_audio(tmp_path / "stereo.mp3", sound, layout="stereo")
    both = tmp_path / "both.mp3"
    both.write_bytes(mono.read_bytes() + stereo.read_bytes() + mono.read_bytes())
    decoded = decode_all(both)
    assert len(decoded) / RATE == pytest.approx(3 * 5.3, abs=0.5)
    assert find_offset(decoded[4 * RATE : 11 * RATE], sound) == pytest.approx(1.4, abs=0.2)


def test_damaged_file_decodes_or_fails_permanently(tmp_path: Path) -> None:
    for path in media_files.damaged_at_random(
        tmp_path, media_files.speech("en_austen_0880"), seed=6
    ):
        with suppress(PermanentError):
            assert all(np.isfinite(block).all() for block in decode(path))


def test_wrong_timestamp_does_not_produce_endless_silence(tmp_path: Path) -> None:
    sound = media_files.speech("en_austen_0890")
    path = media_files.make_audio(tmp_path / "wild.mkv", sound, gaps=[(2.0, 400_000.0)])
    assert len(decode_all(path)) / RATE == pytest.approx(5.3, abs=0.01)


def test_samples_match_those_of_faster_whisper() -> None:
    from faster_whisper import decode_audio

    path = media_files.SPEECH / "en_jfk.flac"
    assert np.array_equal(decode_all(path), decode_audio(str(path)))


def test_video_without_sound_cannot_be_decoded(tmp_path: Path) -> None:
    path = media_files.make_video_without_audio(tmp_path / "mute.mp4")
    with pytest.raises(NoAudioTrack):
        next(decode(path))


def test_track_without_a_decodable_sample_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "noise.mp3").write_bytes(random.Random(1).randbytes(500_000))
    with pytest.raises(PermanentError):
        list(decode(tmp_path / "noise.mp3"))


def test_channel_or_track_is_decoded_alone(tmp_path: Path) -> None:
    left, right = media_files.speech("en_austen_0880"), media_files.speech("en_austen_0930")
    size = min(len(left), len(right))
    call = np.stack([left[:size], right[:size]])
    file = media_files.make_stereo(tmp_path / "call.wav", call)
    for number, clip in enumerate(call):
        channel = np.concatenate(list(decode(file, audio_channel=AudioChannel(0, number))))
        assert np.allclose(channel, clip, atol=1e-3)
    with pytest.raises(NoAudioTrack):
        list(decode(file, audio_channel=AudioChannel(1)))

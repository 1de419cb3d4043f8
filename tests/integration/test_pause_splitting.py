"""Splitting of long sound at pauses; every piece knows where its sound was."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import pytest

from playhead.core.audio import Samples
from playhead.engines.transcription.pause_splitting import AudioPiece, split_at_pauses
from playhead.media.decode import RATE
from tests.support import media_files

CLIPS = ("en_austen_0880", "en_austen_0890", "en_austen_0920", "en_austen_0930", "en_jfk")


def iterate_blocks(sound: Samples, size: int = 50_001) -> Iterator[Samples]:
    return (sound[at : at + size] for at in range(0, len(sound), size))


def split(sound: Samples, max_seconds: float) -> list[AudioPiece]:
    pieces = list(split_at_pauses(iterate_blocks(sound), max_seconds))
    assert [piece.end for piece in pieces] == sorted({piece.end for piece in pieces})
    assert pieces[-1].end == len(sound)
    for piece in pieces:
        parts = [sound[start:end] for start, end in piece.ranges]
        assert np.array_equal(piece.sound, np.concatenate([sound[:0], *parts]))
    return pieces


def join_clips(pause: float) -> tuple[Samples, list[tuple[int, int]]]:
    """Return all clips with pauses between them, and the sample range of each pause."""
    parts, pauses, at = [], [], 0
    for name in CLIPS:
        parts += [media_files.speech(name), media_files.silence(pause)]
        at += len(parts[-2])
        pauses.append((at, at + len(parts[-1])))
        at += len(parts[-1])
    return np.concatenate(parts), pauses


def test_piece_ends_are_in_pauses_between_sentences() -> None:
    sound, pauses = join_clips(pause=0.8)
    ends = [piece.end for piece in split(sound, max_seconds=13)[:-1]]
    assert len(ends) >= 2
    for sample in ends:
        assert any(start - RATE // 3 <= sample <= end + RATE // 3 for start, end in pauses)


def test_pieces_without_long_silence_contain_every_sample() -> None:
    sound, _ = join_clips(pause=1.0)
    pieces = split(sound, max_seconds=15)
    assert np.array_equal(np.concatenate([piece.sound for piece in pieces]), sound)


def test_speech_without_pauses_is_split_at_the_maximum_length() -> None:
    sound = np.tile(media_files.speech("en_austen_0890")[RATE // 2 : 4 * RATE], 6)
    assert all(len(piece.sound) <= 8 * RATE for piece in split(sound, max_seconds=8))


def test_only_the_inner_part_of_a_long_silence_is_removed() -> None:
    clip = media_files.speech("en_austen_0880")
    sound = np.concatenate(
        [media_files.silence(30), clip, media_files.silence(30), clip, media_files.silence(30)]
    )
    (piece,) = split(sound, max_seconds=300)
    (first, second) = piece.ranges
    for (start, end), at in ((first, 30.0), (second, 60 + len(clip) / RATE)):
        assert start / RATE == pytest.approx(at - 1.8, abs=0.3)
        assert end / RATE == pytest.approx(at + len(clip) / RATE + 1.8, abs=0.3)


def test_hours_of_silence_become_empty_pieces() -> None:
    pieces = split(media_files.silence(100), max_seconds=20)
    assert all(len(piece.sound) == 0 for piece in pieces)
    assert all(b.end - a.end <= 20 * RATE for a, b in pairwise(pieces))


def test_no_sound_is_one_empty_piece() -> None:
    (piece,) = split_at_pauses(iter([]), max_seconds=10)
    assert (piece.ranges, piece.end) == ((), 0)


@pytest.mark.parametrize("level", [1.0, 0.1, 0.01])
def test_quiet_speech_is_kept(level: float) -> None:
    sound, _ = join_clips(pause=1.0)
    (piece,) = split(sound * np.float32(level), max_seconds=300)
    assert piece.ranges == ((0, len(sound)),)

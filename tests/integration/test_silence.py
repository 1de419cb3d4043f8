"""Long sound is cut at pauses only, and every piece knows where its sound was."""

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


def in_blocks(sound: Samples, size: int = 50_001) -> Iterator[Samples]:
    return (sound[at : at + size] for at in range(0, len(sound), size))


def cut(sound: Samples, longest: float) -> list[AudioPiece]:
    found = list(split_at_pauses(in_blocks(sound), longest))
    assert [piece.end for piece in found] == sorted({piece.end for piece in found})
    assert found[-1].end == len(sound)
    for piece in found:
        kept = [sound[start:end] for start, end in piece.kept]
        assert np.array_equal(piece.sound, np.concatenate([sound[:0], *kept]))
    return found


def read_aloud(pause: float) -> tuple[Samples, list[tuple[int, int]]]:
    """All clips with pauses between them, and the samples of each pause."""
    parts, pauses, at = [], [], 0
    for name in CLIPS:
        parts += [media_files.speech(name), media_files.silence(pause)]
        at += len(parts[-2])
        pauses.append((at, at + len(parts[-1])))
        at += len(parts[-1])
    return np.concatenate(parts), pauses


def test_every_cut_lies_in_a_pause_between_sentences() -> None:
    sound, pauses = read_aloud(pause=0.8)
    cuts = [piece.end for piece in cut(sound, longest=13)[:-1]]
    assert len(cuts) >= 2
    for sample in cuts:
        assert any(start - RATE // 3 <= sample <= end + RATE // 3 for start, end in pauses)


def test_pieces_without_long_silence_keep_every_sample() -> None:
    sound, _ = read_aloud(pause=1.0)
    found = cut(sound, longest=15)
    assert np.array_equal(np.concatenate([piece.sound for piece in found]), sound)


def test_speech_without_any_pause_is_still_cut_to_size() -> None:
    breathless = np.tile(media_files.speech("en_austen_0890")[RATE // 2 : 4 * RATE], 6)
    assert all(len(piece.sound) <= 8 * RATE for piece in cut(breathless, longest=8))


def test_only_the_inner_part_of_a_long_silence_goes() -> None:
    clip = media_files.speech("en_austen_0880")
    sound = np.concatenate(
        [media_files.silence(30), clip, media_files.silence(30), clip, media_files.silence(30)]
    )
    (piece,) = cut(sound, longest=300)
    (first, second) = piece.kept
    for (start, end), at in ((first, 30.0), (second, 60 + len(clip) / RATE)):
        assert start / RATE == pytest.approx(at - 1.8, abs=0.3)
        assert end / RATE == pytest.approx(at + len(clip) / RATE + 1.8, abs=0.3)


def test_hours_of_silence_become_pieces_without_sound() -> None:
    found = cut(media_files.silence(100), longest=20)
    assert all(len(piece.sound) == 0 for piece in found)
    assert all(b.end - a.end <= 20 * RATE for a, b in pairwise(found))


def test_no_sound_at_all_is_one_empty_piece() -> None:
    (piece,) = split_at_pauses(iter([]), longest=10)
    assert (piece.kept, piece.end) == ((), 0)


@pytest.mark.parametrize("level", [1.0, 0.1, 0.01])
def test_speech_is_kept_however_quiet(level: float) -> None:
    sound, _ = read_aloud(pause=1.0)
    (piece,) = cut(sound * np.float32(level), longest=300)
    assert piece.kept == ((0, len(sound)),)

"""Files of every kind for a trial of the inbox: good, broken, duplicated, and oddly named.

Each has the result that Playhead must report. ``mixed_inbox.py`` runs the trial.
"""

from __future__ import annotations

import hashlib
import wave
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tests.support import media_files

_CLIPS = ("en_jfk", "en_austen_0870", "en_austen_0890", "en_austen_0920", "en_austen_0930")
_CONTAINERS = (".wav", ".flac", ".mp3", ".ogg", ".webm", ".mp4", ".m4a", ".mov")
_TRUNCATABLE = (".flac", ".m4a", ".mov", ".mp3", ".mp4", ".wav", ".webm")
_VIDEOS = (".mp4", ".mov", ".webm")

_HOSTILE = (
    "-rf",
    "--help",
    "; drop table recordings; --",
    "$(reboot) `reboot`",
    "%2e%2e%2f..%2fetc%2fpasswd",
    "two\nlines\r\tand a tab",
    "quotes ' \" and \\ backslash",
    "🎙️ تسجيل \u202egnp",
    "%s%n%00 {0} {{x}}",
    "<script>alert(1)<\u2215script>",
    "[...],*?key=1,2",
    b"not \xff\xfe UTF-8".decode("utf-8", "surrogateescape"),
    "n" * 240,
)


@dataclass(frozen=True, slots=True)
class Sample:
    """A file and its expected result: ready, or failed at ``raw_media`` with ``reason``."""

    path: Path
    sort: str
    sha256: str
    reason: str | None
    spoken: bool


@dataclass(frozen=True, slots=True)
class Sort:
    """How one kind of files is written (from a path without suffix and a number) and its result.

    ``share``: files of this kind per hundred.
    """

    share: int
    make: Callable[[Path, int], Path]
    reason: str | None = None
    spoken: bool = False


def make_samples(folder: Path, count: int) -> list[Sample]:
    """Write about ``count`` files, at least one of each kind.

    No two have equal bytes but those of the kinds ``copy`` and ``zero bytes``.
    """
    samples = []
    for name, sort in SORTS.items():
        for number in range(max(1, round(count * sort.share / 100))):
            path = sort.make(folder / f"{name} {number:03}", number)
            digest = hashlib.sha256(path.read_bytes()).hexdigest()
            samples.append(Sample(path, name, digest, sort.reason, sort.spoken))
    return samples


def _good(path: Path, number: int) -> Path:
    """Write every container in turn, some of them as videos."""
    suffix = _CONTAINERS[number % len(_CONTAINERS)]
    video = suffix in _VIDEOS and number % 3 == 0
    make = media_files.make_video if video else media_files.make_audio
    return make(path.with_suffix(suffix), _sound(number))


def _silent(path: Path, number: int) -> Path:
    return media_files.make_silence(
        path.with_suffix(_CONTAINERS[number % len(_CONTAINERS)]), 2 + number
    )


def _cut_off(path: Path, number: int) -> Path:
    suffix = _TRUNCATABLE[number % len(_TRUNCATABLE)]
    return media_files.truncate(media_files.make_audio(path.with_suffix(suffix), _sound(number)))


def _text(path: Path, number: int) -> Path:
    path = path.with_suffix(".mp4")
    path.write_text(f"Notes of meeting {number}\n" * 50, encoding="utf-8")
    return path


def _mute_video(path: Path, number: int) -> Path:
    suffix = _VIDEOS[number % len(_VIDEOS)]
    return media_files.make_video_without_audio(path.with_suffix(suffix), 1 + number)


def _no_sample(path: Path, number: int) -> Path:
    path = path.with_suffix(".wav")
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, 8000 + number, 0, "NONE", ""))
    return path


def _zero_bytes(path: Path, _number: int) -> Path:
    path = path.with_suffix(".mp3")
    path.touch()
    return path


def _copy(path: Path, number: int) -> Path:
    """Write the good file of the same number again under another name."""
    [original] = path.parent.glob(f"good {number:03}.*")
    path = path.with_suffix(original.suffix)
    path.write_bytes(original.read_bytes())
    return path


def _hostile(path: Path, number: int) -> Path:
    name = _HOSTILE[number % len(_HOSTILE)] + str(number // len(_HOSTILE) or "")
    return media_files.make_audio(path.with_suffix(".flac"), _sound(1000 + number)).rename(
        path.with_name(f"{name}.flac")
    )


def _sound(number: int) -> media_files.Sound:
    """Return speech followed by a silence of its own length."""
    spoken = media_files.speech(_CLIPS[number % len(_CLIPS)])
    return np.concatenate([spoken, media_files.silence(0.1 + number / 500)])


#: In the order of creation: copies come after the good files.
SORTS: dict[str, Sort] = {
    "good": Sort(60, _good, spoken=True),
    "copy": Sort(8, _copy, spoken=True),
    "hostile name": Sort(7, _hostile, spoken=True),
    "silent": Sort(5, _silent),
    "cut off": Sort(7, _cut_off, "TruncatedMedia"),
    "text": Sort(5, _text, "UnreadableMedia"),
    "mute video": Sort(3, _mute_video, "NoAudioTrack"),
    "no sample": Sort(2, _no_sample, "EmptyFile"),
    "zero bytes": Sort(3, _zero_bytes, "EmptyFile"),
}

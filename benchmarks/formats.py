"""Every container and audio codec that FFmpeg can write here, read by Playhead.

    python -m benchmarks.formats [--transcriber whisper-tiny.en] [--container NAME]… [--json]

A spoken clip is written in each kind, probed, decoded and transcribed. Its sound must be that of
the clip, at its second (by cross-correlation), and its words those that the same engine recognizes
in the clip, at their times. Kinds that FFmpeg writes but cannot read itself, or stamps with other
times, are only counted. The exit code is 1 if anything else is wrong.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from statistics import median

import av
import click
import jiwer
import numpy as np

from benchmarks.environments import json_option, print_rows
from playhead.core.errors import PlayheadError
from playhead.core.protocols.transcriber import Transcriber
from playhead.core.records import Transcript
from playhead.engines.transcription.piecewise import PiecewiseTranscriber
from playhead.engines.transcription.whisper import LocalWhisper
from playhead.media.decode import decode
from playhead.media.probe import probe
from tests.support import media_files, media_formats

_CLIP = "en_austen_0890"
_MIN_SIMILARITY = 0.5  # of 1: low bit rates change the sound
_SHIFT_SECONDS = 0.1  # an encoder's delay, where the container does not state it: up to 70 ms
_WRONG_WORDS = 0.4  # codecs of one bit per sample cost words
_WORD_SECONDS = 0.25
#: FFmpeg's parser is nine packets behind here, and gives a packet the time of the one it reads.
_STAMPED_LATE = {("asf", "flac"), ("wtv", "flac")}


@dataclass(frozen=True, slots=True)
class SoundComparison:
    """A sound compared with the clip: the cosine at the best shift, and that shift."""

    similarity: float
    shift_seconds: float

    @property
    def good(self) -> bool:
        return self.similarity >= _MIN_SIMILARITY


@dataclass(frozen=True, slots=True)
class Row:
    container: str
    codec: str
    found: str
    like: float | None = None
    shift_ms: float | None = None
    wrong_words: float | None = None
    word_shift_ms: float | None = None
    verdict: str = "ok"


def compare_sounds(sound: media_files.Sound, clip: media_files.Sound) -> SoundComparison:
    size = 1 << (len(sound) + len(clip)).bit_length()
    product = np.fft.irfft(np.fft.rfft(sound, size) * np.conj(np.fft.rfft(clip, size)))
    at = int(np.argmax(product))
    loudness = float(np.sqrt((sound**2).sum() * (clip**2).sum())) or 1.0
    return SoundComparison(
        float(product[at]) / loudness, (at if at < size // 2 else at - size) / media_files.RATE
    )


def read_with_ffmpeg(path: Path) -> media_files.Sound:
    """Return the file as FFmpeg itself reads it, frame by frame, in this process.

    The result is empty if FFmpeg cannot read it.
    """
    resampler = av.AudioResampler("s16", "mono", media_files.RATE)
    try:
        with av.open(str(path)) as container:
            frames = [*container.decode(audio=0), None]
            blocks = [
                resampled.to_ndarray()[0]
                for frame in frames
                for resampled in resampler.resample(frame)
            ]
    except (av.FFmpegError, IndexError, ValueError):
        return media_files.silence(0)
    return (np.concatenate(blocks) / 32768).astype(np.float32)


class FormatChecker:
    def __init__(self, transcriber: Transcriber, clip: media_files.Sound) -> None:
        self._transcriber = transcriber
        self._clip = clip
        self._clip_transcript = self._transcribe(media_files.SPEECH / f"{_CLIP}.flac")

    def row(self, path: Path, container: str, codec: str) -> Row:
        sound = read_with_ffmpeg(path)
        reference = compare_sounds(sound, self._clip) if len(sound) else SoundComparison(0, 0)
        try:
            return self._check(path, container, codec, reference)
        except PlayheadError as error:
            verdict = "WRONG" if reference.good else "not read by FFmpeg itself"
            return Row(container, codec, f"{type(error).__name__}: {error}", verdict=verdict)

    def _check(self, path: Path, container: str, codec: str, reference: SoundComparison) -> Row:
        facts = probe(path)
        comparison = compare_sounds(np.concatenate(list(decode(path))), self._clip)
        transcript = self._transcribe(path) if comparison.good else None
        wrong, delay = self._compare_words(transcript) if transcript else (None, None)
        passed = (
            comparison.good
            and abs(comparison.shift_seconds) <= _SHIFT_SECONDS
            and wrong is not None
            and delay is not None
            and wrong <= _WRONG_WORDS
            and abs(delay - comparison.shift_seconds) <= _WORD_SECONDS
        )
        if passed:
            verdict = "ok"
        elif (container, codec) in _STAMPED_LATE:
            verdict = "late, as FFmpeg stamps it"
        else:
            verdict = "WRONG" if reference.good else "not read by FFmpeg itself"
        return Row(
            container,
            codec,
            f"{facts.container}, {facts.codec}",
            round(comparison.similarity, 3),
            round(comparison.shift_seconds * 1000, 1),
            wrong and round(wrong, 3),
            delay and round(delay * 1000),
            verdict,
        )

    def _transcribe(self, path: Path) -> Transcript:
        return self._transcriber.transcribe(path, language="en", progress=lambda _: None)

    def _compare_words(self, transcript: Transcript) -> tuple[float, float]:
        """Return the share of words that differ from the clip's, and the median delay of the
        others."""
        before, now = self._clip_transcript.words, transcript.words
        aligned = jiwer.process_words(
            " ".join(_plain_words(self._clip_transcript)), " ".join(_plain_words(transcript)) or "-"
        )
        delay = [
            now[other_index].start - before[index].start
            for chunk in aligned.alignments[0]
            if chunk.type == "equal"
            for index, other_index in zip(
                range(chunk.ref_start_idx, chunk.ref_end_idx),
                range(chunk.hyp_start_idx, chunk.hyp_end_idx),
                strict=True,
            )
        ]
        return aligned.wer, median(delay) if delay else float("inf")


def _plain_words(transcript: Transcript) -> list[str]:
    return ["".join(filter(str.isalnum, word.word.lower())) or "-" for word in transcript.words]


def rows(
    judge: FormatChecker, clip: media_files.Sound, containers: tuple[str, ...]
) -> Iterator[Row]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "recording"
        for container, codec in product(
            containers or media_formats.containers(), media_formats.codecs()
        ):
            try:
                yield judge.row(media_formats.write(path, container, codec, clip), container, codec)
            except media_formats.CannotWrite:
                continue


@click.command()
@click.option("--transcriber", default="whisper-tiny.en", show_default=True)
@click.option("--container", "containers", multiple=True, help="Only these.")
@json_option
def main(transcriber: str, containers: tuple[str, ...], as_json: bool) -> None:
    """Write, probe, decode and transcribe a clip in every kind of file."""
    clip = media_files.speech(_CLIP)
    judge = FormatChecker(PiecewiseTranscriber(LocalWhisper(transcriber)), clip)
    found = list(rows(judge, clip, containers))
    print_rows(found, as_json=as_json)
    wrong = sum(row.verdict == "WRONG" for row in found)
    good = sum(row.verdict == "ok" for row in found)
    click.echo(f"{len(found)} kinds, {good} ok, {wrong} wrong", err=True)
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()

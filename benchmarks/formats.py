"""Every container and audio codec that FFmpeg can write here, through Playhead's eyes and ears.

    python -m benchmarks.formats [--transcriber whisper-tiny.en] [--container NAME]… [--json]

A spoken clip is written in each kind, probed, decoded and transcribed. Its sound must be that of
the clip, at its second (by cross-correlation), and its words those that the same engine hears in
the clip, at their times. What FFmpeg writes but cannot read itself, or stamps with other times, is
counted and no more. Exit code 1 when anything else is wrong.
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
_LIKE = 0.5  # of 1: what low bit rates leave of a sound is less like it
_SHIFT_SECONDS = 0.1  # an encoder's delay, where the container does not state it: up to 70 ms
_WRONG_WORDS = 0.4  # codecs of one bit a sample cost words
_WORD_SECONDS = 0.25
#: FFmpeg's parser is nine packets behind there, and says of a packet the time of the one it reads.
_STAMPED_LATE = {("asf", "flac"), ("wtv", "flac")}


@dataclass(frozen=True, slots=True)
class SoundComparison:
    """How a sound compares with the clip's: cosine at the best shift, and that shift."""

    similarity: float
    shift_seconds: float

    @property
    def good(self) -> bool:
        return self.similarity >= _LIKE


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
    """The file as FFmpeg itself reads it, one frame after the other, in this process: it is ours.
    Empty where it cannot."""
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
        self._said = self._heard(media_files.SPEECH / f"{_CLIP}.flac")

    def row(self, path: Path, container: str, codec: str) -> Row:
        sound = read_with_ffmpeg(path)
        itself = compare_sounds(sound, self._clip) if len(sound) else SoundComparison(0, 0)
        try:
            return self._of(path, container, codec, itself)
        except PlayheadError as error:
            verdict = "WRONG" if itself.good else "not read by FFmpeg itself"
            return Row(container, codec, f"{type(error).__name__}: {error}", verdict=verdict)

    def _of(self, path: Path, container: str, codec: str, itself: SoundComparison) -> Row:
        facts = probe(path)
        heard = compare_sounds(np.concatenate(list(decode(path))), self._clip)
        said = self._heard(path) if heard.good else None
        wrong, late = self._words(said) if said else (None, None)
        fine = (
            heard.good
            and abs(heard.shift_seconds) <= _SHIFT_SECONDS
            and wrong is not None
            and late is not None
            and wrong <= _WRONG_WORDS
            and abs(late - heard.shift_seconds) <= _WORD_SECONDS
        )
        if fine:
            verdict = "ok"
        elif (container, codec) in _STAMPED_LATE:
            verdict = "late, as FFmpeg stamps it"
        else:
            verdict = "WRONG" if itself.good else "not read by FFmpeg itself"
        return Row(
            container,
            codec,
            f"{facts.container}, {facts.codec}",
            round(heard.similarity, 3),
            round(heard.shift_seconds * 1000, 1),
            wrong and round(wrong, 3),
            late and round(late * 1000),
            verdict,
        )

    def _heard(self, path: Path) -> Transcript:
        return self._transcriber.transcribe(path, language="en", progress=lambda _: None)

    def _words(self, said: Transcript) -> tuple[float, float]:
        """The share of words that differ from what is heard in the clip, and how much later those
        that do not begin, in the median."""
        before, now = self._said.words, said.words
        aligned = jiwer.process_words(" ".join(_bare(self._said)), " ".join(_bare(said)) or "-")
        late = [
            now[there].start - before[here].start
            for chunk in aligned.alignments[0]
            if chunk.type == "equal"
            for here, there in zip(
                range(chunk.ref_start_idx, chunk.ref_end_idx),
                range(chunk.hyp_start_idx, chunk.hyp_end_idx),
                strict=True,
            )
        ]
        return aligned.wer, median(late) if late else float("inf")


def _bare(said: Transcript) -> list[str]:
    return ["".join(filter(str.isalnum, word.word.lower())) or "-" for word in said.words]


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

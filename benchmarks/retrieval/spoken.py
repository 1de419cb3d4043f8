"""Real recordings transcribed by the real engine, with questions (``sets/speech.tsv``).

An answer is labelled by its first words in the reference text; the engine's own word times give its
seconds.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from difflib import SequenceMatcher
from itertools import accumulate
from pathlib import Path

from benchmarks.retrieval.labelled import FOLDER, Label, Talk
from playhead.core.records import Transcript
from playhead.engines.transcription.piecewise import PiecewiseTranscriber
from playhead.engines.transcription.whisper import LocalWhisper

_MIN_SHARE = 0.4  # of an answer's letters, contiguous, for it to count as recognized


def transcribe_talks(folder: Path, model: str) -> Iterator[Talk]:
    """Yield each recording of ``folder`` that has questions.

    A label whose words were not recognized is left out.
    """
    whisper = PiecewiseTranscriber(LocalWhisper(model))
    for file, rows in _questions().items():
        if (folder / file).exists():
            transcript = whisper.transcribe(folder / file, language=None, progress=lambda _: None)
            yield Talk(file, transcript, tuple(_labels(file, rows, transcript)))


def _questions() -> dict[str, list[dict[str, str]]]:
    by_file: dict[str, list[dict[str, str]]] = {}
    with (FOLDER / "speech.tsv").open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file, delimiter="\t"):
            by_file.setdefault(row["file"], []).append(row)
    return by_file


def _labels(file: str, rows: list[dict[str, str]], transcript: Transcript) -> Iterator[Label]:
    words = [_letters(word.word) for word in transcript.words]
    ends = list(accumulate(map(len, words)))
    matcher = SequenceMatcher(b="".join(words), autojunk=False)
    for row in rows:
        answer = _letters(row["answer"])
        matcher.set_seq1(answer)
        match = matcher.find_longest_match()
        if match.size >= _MIN_SHARE * len(answer):
            start = max(0, match.b - match.a)
            answer_words = [
                word
                for word, end in zip(transcript.words, ends, strict=True)
                if start < end <= max(start + len(answer), match.b + match.size)
            ]
            yield Label(row["question"], file, answer_words[0].start, answer_words[-1].end)


def _letters(text: str) -> str:
    return "".join(character for character in text.lower() if character.isalnum())

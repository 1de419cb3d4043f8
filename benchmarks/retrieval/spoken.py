"""Real recordings heard by the real engine, and what is asked of them (``sets/speech.tsv``).

An answer is labelled by its first words in the reference text; when it is said, the engine's own
word times tell. Not here: texts that are told (``labelled.py``).
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

_LEAST_SHARE = 0.4  # of an answer's letters, in one piece, for it to count as heard


def heard(folder: Path, model: str) -> Iterator[Talk]:
    """Each recording of ``folder`` that something is asked of; a label whose words the engine did
    not hear is left out."""
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
    said = [_letters(word.word) for word in transcript.words]
    ends = list(accumulate(map(len, said)))
    matcher = SequenceMatcher(b="".join(said), autojunk=False)
    for row in rows:
        answer = _letters(row["answer"])
        matcher.set_seq1(answer)
        piece = matcher.find_longest_match()
        if piece.size >= _LEAST_SHARE * len(answer):
            first = max(0, piece.b - piece.a)
            within = [
                word
                for word, end in zip(transcript.words, ends, strict=True)
                if first < end <= max(first + len(answer), piece.b + piece.size)
            ]
            yield Label(row["question"], file, within[0].start, within[-1].end)


def _letters(text: str) -> str:
    return "".join(character for character in text.lower() if character.isalnum())

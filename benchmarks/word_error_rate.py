"""Word error rate and speed of Playhead's local transcriber beside plain faster-whisper.

    python -m benchmarks.word_error_rate FOLDER [--model whisper-base] [--rounds 1] [--json]

FOLDER holds audio and a ``MANIFEST.tsv`` with the columns file, seconds, language and
reference_text. Both sides have the same weights, loaded before any clock runs, detect the language
themselves and take turns at going first, so that a busy machine slows both (processor time, "cpu",
is steadier there). Of several rounds the fastest counts, per file and side.

Reference and text go through one normaliser: lower case, punctuation and symbols removed by Unicode
category, spaces collapsed, numbers unchanged. Japanese, Chinese and Thai, which have no spaces
between words, are compared by character.
"""

from __future__ import annotations

import csv
import json
import time
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import click
import jiwer
from faster_whisper import WhisperModel
from rich.console import Console
from rich.table import Table

from playhead.core.packaged_models import WHISPER_MODELS, whisper_files
from playhead.engines.transcription.piecewise import PiecewiseTranscriber
from playhead.engines.transcription.whisper import LocalWhisper

Side = Callable[[Path], str]

_UNSPACED = frozenset({"ja", "zh", "th"})


@dataclass(frozen=True, slots=True)
class ReferenceClip:
    """One line of the manifest."""

    path: Path
    seconds: float
    language: str
    reference: str


@dataclass(frozen=True, slots=True)
class SideResult:
    """One side's text of a file, and its wall and processor seconds."""

    text: str
    seconds: float
    cpu_seconds: float


@dataclass(frozen=True, slots=True)
class Score:
    """All files of a language. Errors are a share of the reference (1.0 is 100 %)."""

    language: str
    unit: str
    files: int
    audio_seconds: float
    error_ours: float
    error_plain: float
    seconds_ours: float
    seconds_plain: float
    cpu_seconds_ours: float
    cpu_seconds_plain: float


@click.command()
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--model", type=click.Choice(WHISPER_MODELS), default="whisper-base")
@click.option("--rounds", type=click.IntRange(min=1), default=1)
@click.option("--json", "as_json", is_flag=True, help="One JSON line a language.")
def main(folder: Path, model: str, rounds: int, as_json: bool) -> None:
    """Compare the local transcriber with plain faster-whisper on the audio of FOLDER."""
    plain_model = WhisperModel(model, device="cpu", compute_type="int8", files=whisper_files(model))
    clips = [item for item in manifest(folder) if item.language in plain_model.supported_languages]
    scores = list(
        compare(
            clips, load_playhead(model), lambda path: transcribe_plain(plain_model, path), rounds
        )
    )
    if as_json:
        for score in scores:
            click.echo(json.dumps({"model": model, **asdict(score)}))
    else:
        Console().print(table(model, scores))


def manifest(folder: Path) -> list[ReferenceClip]:
    """Return the files of a folder that have a reference."""
    with (folder / "MANIFEST.tsv").open(encoding="utf-8", newline="") as file:
        return [
            ReferenceClip(
                folder / row["file"], float(row["seconds"]), row["language"], row["reference_text"]
            )
            for row in csv.DictReader(file, delimiter="\t")
        ]


def load_playhead(model: str) -> Side:
    """Return Playhead's transcriber; its weights are loaded by the first call."""
    whisper = PiecewiseTranscriber(LocalWhisper(model))
    return lambda path: whisper.transcribe(path, language=None, progress=lambda _: None).text


def transcribe_plain(model: WhisperModel, path: Path) -> str:
    """Transcribe with faster-whisper's own defaults, with word times as Playhead needs them."""
    segments, _ = model.transcribe(str(path), word_timestamps=True)
    return " ".join(segment.text.strip() for segment in segments)


def compare(
    clips: Sequence[ReferenceClip], ours: Side, plain: Side, rounds: int
) -> Iterator[Score]:
    """Yield one score per language, in the manifest's order."""
    ours(clips[0].path), plain(clips[0].path)  # warm: weights, voice detection, threads
    results = {item: compare_file(item.path, (ours, plain), rounds) for item in clips}
    for language in dict.fromkeys(item.language for item in clips):
        items = [item for item in clips if item.language == language]
        yield score(language, items, [results[item] for item in items])


def compare_file(
    path: Path, sides: tuple[Side, Side], rounds: int
) -> tuple[SideResult, SideResult]:
    """Return the result of each side, which go first in turn by round and path."""
    results_of: tuple[list[SideResult], list[SideResult]] = ([], [])
    for round_number in range(rounds):
        first = (round_number + len(path.name)) % 2
        for side in (first, 1 - first):
            start, cpu_start = time.perf_counter(), time.process_time()
            text = sides[side](path)
            seconds, cpu_seconds = time.perf_counter() - start, time.process_time() - cpu_start
            results_of[side].append(SideResult(text, seconds, cpu_seconds))
    ours, plain = (min(side, key=lambda results: results.seconds) for side in results_of)
    return ours, plain


def score(
    language: str, items: Sequence[ReferenceClip], results: Sequence[tuple[SideResult, SideResult]]
) -> Score:
    """Return the errors over all words (or characters) of a language, not the mean of its files."""
    references = [normalise(item.reference) for item in items]
    rate = jiwer.cer if language in _UNSPACED else jiwer.wer
    ours, plain = zip(*results, strict=True)
    return Score(
        language=language,
        unit="characters" if language in _UNSPACED else "words",
        files=len(items),
        audio_seconds=sum(item.seconds for item in items),
        error_ours=rate(references, [normalise(result.text) for result in ours]),
        error_plain=rate(references, [normalise(result.text) for result in plain]),
        seconds_ours=sum(result.seconds for result in ours),
        seconds_plain=sum(result.seconds for result in plain),
        cpu_seconds_ours=sum(result.cpu_seconds for result in ours),
        cpu_seconds_plain=sum(result.cpu_seconds for result in plain),
    )


def normalise(text: str) -> str:
    """Return the text in lower case, without punctuation and symbols (categories P and S).

    Words are separated by single spaces.
    """
    characters = (" " if unicodedata.category(sign)[0] in "PS" else sign for sign in text.lower())
    return " ".join("".join(characters).split())


def table(model: str, scores: Sequence[Score]) -> Table:
    """Return the scores as a table."""
    result = Table(title=f"{model}: Playhead beside plain faster-whisper")
    heads = "in,of,files,audio s,ours %,plain %,ours s,plain s,wall,cpu"
    for head in heads.split(","):
        result.add_column(head, justify="right")
    for row in scores:
        result.add_row(
            row.language,
            row.unit,
            str(row.files),
            f"{row.audio_seconds:.0f}",
            f"{100 * row.error_ours:.2f}",
            f"{100 * row.error_plain:.2f}",
            f"{row.seconds_ours:.1f}",
            f"{row.seconds_plain:.1f}",
            f"{row.seconds_ours / row.seconds_plain:.2f}x",
            f"{row.cpu_seconds_ours / row.cpu_seconds_plain:.2f}x",
        )
    return result


if __name__ == "__main__":
    main()

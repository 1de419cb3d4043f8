"""What it costs when nothing changed, and when one word did.

    python -m benchmarks.rerun [--recordings 10000] [--sentences 7] [--json]

Seeds recordings that are ready (``seeding.py``), then materialises all five assets of all of them
again, a hundred to a run, as a backfill does; then corrects one word of one recording and
finishes that. Calls are counted at the engines; row versions in Postgres, by the place and the
writing transaction of every row. Seeding is not in the seconds.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import click
import dagster as dg

from benchmarks import seeding
from benchmarks.homes import Home, json_option, print_rows, temporary_home
from pipeline_assets.definitions import build_definitions
from pipeline_assets.policies import RECORDINGS_A_RUN
from pipeline_assets.requests import INGEST_RECORDING, RANGE_END, RANGE_START, RunPlan
from resources.embedding.instant import InstantEmbedder
from resources.embedding.protocol import Vectors
from resources.engines import Embedders, Engines
from resources.postgres.database import Database
from resources.postgres.databases import app_url
from resources.records import Document, Kind, Transcript, Usage
from resources.transcription.instant import InstantTranscriber
from resources.transcription.protocol import Progress
from resources.transcripts.correction import correct_segment
from resources.writing.extractive import ExtractiveWriter

_CONTENT = ("raw_media", "transcripts", "documents", "chunks", "embeddings", "embedding_cache")
_QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


@dataclass
class Calls:
    """What the engines were asked for."""

    transcriber: int = 0
    writer: int = 0
    embedder: int = 0
    texts: int = 0


@dataclass(frozen=True, slots=True)
class Row:
    """``written`` and ``gone``: row versions of content tables that were not there before, or are
    not any more."""

    what: str
    recordings: int
    seconds: float
    transcriber_calls: int
    writer_calls: int
    embedder_calls: int
    texts_embedded: int
    written: int
    gone: int
    load_average: float


def counting(calls: Calls) -> Engines:
    class Transcriber(InstantTranscriber):
        def transcribe(
            self, media: Path, *, language: str | None, progress: Progress
        ) -> Transcript:
            calls.transcriber += 1
            return super().transcribe(media, language=language, progress=progress)

    class Writer(ExtractiveWriter):
        def write(
            self, transcript: Transcript, *, title: str, kind: Kind
        ) -> tuple[Document, Usage]:
            calls.writer += 1
            return super().write(transcript, title=title, kind=kind)

    class Embedder(InstantEmbedder):
        def embed(self, texts: Sequence[str]) -> Vectors:
            calls.embedder += 1
            calls.texts += len(texts)
            return super().embed(texts)

    return Engines(Transcriber(), Writer(), Embedders("instant", {"instant": Embedder}))


def measure(
    what: str, home: Home, recordings: int, work: Callable[[dg.JobDefinition], None]
) -> Row:
    calls = Calls()
    bench = replace(home.bench, engines=counting(calls))
    job = build_definitions(bench.settings, bench=bench).resolve_job_def(INGEST_RECORDING)
    before = row_versions(home)
    begun = time.monotonic()
    work(job)
    seconds = time.monotonic() - begun
    after = row_versions(home)
    return Row(
        what=what,
        recordings=recordings,
        seconds=round(seconds, 1),
        transcriber_calls=calls.transcriber,
        writer_calls=calls.writer,
        embedder_calls=calls.embedder,
        texts_embedded=calls.texts,
        written=len(after - before),
        gone=len(before - after),
        load_average=round(os.getloadavg()[0], 1),
    )


def row_versions(home: Home) -> set[str]:
    database = Database(app_url(home.settings))
    try:
        return {
            f"{table} {row['version']}"
            for table in _CONTENT
            for row in database.rows(
                b"select tableoid || ' ' || ctid || ' ' || xmin as version from " + table.encode()
            )
        }
    finally:
        database.close()


def rows(home: Home, recordings: int, sentences: int) -> Iterator[Row]:
    ids = seeding.seed(home.bench, home.instance, recordings, sentences)

    def everything(job: dg.JobDefinition) -> None:
        for start in range(0, len(ids), RECORDINGS_A_RUN):
            part = ids[start : start + RECORDINGS_A_RUN]
            tags = {RANGE_START: part[0], RANGE_END: part[-1]}
            result = job.execute_in_process(instance=home.instance, tags=tags, run_config=_QUIET)
            assert result.success

    def one_word(job: dg.JobDefinition) -> None:
        [recording] = home.bench.catalogue.recordings([ids[len(ids) // 2]])
        before = home.bench.versions.current(recording)
        said = before.segments[0].text
        text = said.replace(said.split()[1], "umbrella", 1)
        home.bench.versions.correct(recording, correct_segment(before, 0, text), "benchmark")
        run = RunPlan((recording.id,))
        result = job.execute_in_process(
            instance=home.instance, tags=dict(run.tags), run_config=run.run_config | _QUIET
        )
        assert result.success

    yield measure("everything again, nothing changed", home, recordings, everything)
    yield measure("one word corrected", home, 1, one_word)


@click.command()
@click.option("--recordings", type=click.IntRange(min=2), default=10_000, show_default=True)
@click.option("--sentences", type=click.IntRange(min=1), default=7, show_default=True)
@json_option
def main(recordings: int, sentences: int, as_json: bool) -> None:
    """Nothing changed, then one word."""
    with temporary_home(
        transcriber="instant", embedder="instant", chunking=seeding.CHUNKING
    ) as home:
        print_rows(rows(home, recordings, sentences), as_json=as_json)


if __name__ == "__main__":
    main()

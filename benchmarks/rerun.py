"""The cost of a run without changes, and of one corrected word.

    python -m benchmarks.rerun [--recordings 10000] [--sentences 7] [--corrections 5] [--json]

Ready recordings are seeded (``seeding.py``); then all five assets of all of them are materialized
again, a hundred per run, as by a backfill. Then some talks of ten minutes are processed, with
chunks of the default size, and in each a word is corrected and the recording finished. Calls are
counted at the engines; row versions in Postgres by the position and the writing transaction of
every row. Seeding is not in the seconds.
"""

from __future__ import annotations

import json
import os
import random
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, LiteralString, NamedTuple

import click
import dagster as dg

from benchmarks import seeding
from benchmarks.environments import Home, json_option, print_rows, temporary_home
from pipeline_assets.definitions import build_definitions
from pipeline_assets.policies import RECORDINGS_PER_RUN
from pipeline_assets.runs import INGEST_RECORDING, RunSpec
from pipeline_assets.tags import ASSET_PARTITION_RANGE_END_TAG, ASSET_PARTITION_RANGE_START_TAG
from playhead.core.protocols.embedder import Vectors
from playhead.core.records import Cost, Document, Kind, Recording, Transcript
from playhead.engines.embedding.stub import StubEmbedder
from playhead.engines.registry import EmbedderRegistry, Engines
from playhead.engines.transcription.stub import StubTranscriber
from playhead.engines.writing.extractive import ExtractiveWriter
from playhead.postgres.database import Database
from playhead.postgres.database_urls import app_url
from playhead.transcripts.correction import correct_segment
from tests.support.synthetic_transcripts import make_talk

_SENTENCES_A_TALK = 110  # 1,400 words

#: For talks: the default sizes as capped by MiniLM's window, in the stub embedder's tokens (words).
_SIZES = json.loads(seeding.CHUNKING) | {"lecture": {"size": 190, "overlap": 19, "minimum": 38}}

_CONTENT: dict[str, LiteralString] = {
    "raw_media": "select result_id::text as key, recording_id, ctid, xmin from raw_media",
    "transcripts": "select result_id::text as key, recording_id, ctid, xmin from transcripts",
    "documents": "select result_id::text as key, recording_id, ctid, xmin from documents",
    "chunks": "select id::text as key, recording_id, ctid, xmin from chunks",
    "embeddings": "select e.set_id || ' ' || e.chunk_id as key, c.recording_id, e.ctid, e.xmin "
    "from embeddings e join chunks c on c.id = e.chunk_id",
    "embedding_cache": "select set_id || ' ' || text_hash as key, recording_id, ctid, xmin "
    "from embedding_cache",
}
_QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


@dataclass
class Calls:
    """The calls of each engine."""

    transcriber: int = 0
    writer: int = 0
    embedder: int = 0
    texts: int = 0


@dataclass(frozen=True, slots=True)
class Row:
    """Rows of content tables.

    ``written`` were not there before, ``gone`` are deleted, ``moved`` have another version, since
    the text before them in their recording is longer now. ``others``: changed rows of other
    recordings.
    """

    what: str
    recordings: int
    seconds: float
    transcriber_calls: int
    writer_calls: int
    embedder_calls: int
    texts_embedded: int
    written: int
    gone: int
    moved: int
    others: int
    load_average: float


def counting_engines(calls: Calls) -> Engines:
    class Transcriber(StubTranscriber):
        def transcribe(self, media: Path, **how: Any) -> Transcript:
            calls.transcriber += 1
            return super().transcribe(media, **how)

    class Writer(ExtractiveWriter):
        def write(self, transcript: Transcript, *, title: str, kind: Kind) -> tuple[Document, Cost]:
            calls.writer += 1
            return super().write(transcript, title=title, kind=kind)

    class Embedder(StubEmbedder):
        def embed(self, texts: Sequence[str]) -> Vectors:
            calls.embedder += 1
            calls.texts += len(texts)
            return super().embed(texts)

    return Engines(Transcriber(), Writer(), EmbedderRegistry("stub", {"stub": Embedder}))


class TalkTranscriber(StubTranscriber):
    """A transcriber that returns the same talk for any file."""

    def __init__(self, number: int) -> None:
        self._number = number

    def transcribe(self, media: Path, **how: Any) -> Transcript:
        return make_talk(self._number, _SENTENCES_A_TALK)


def measure(
    what: str, home: Home, own_ids: Sequence[str], action: Callable[[dg.JobDefinition], None]
) -> Row:
    calls = Calls()
    services = replace(home.services, engines=counting_engines(calls))
    job = build_definitions(services.settings, services=services).resolve_job_def(INGEST_RECORDING)
    before = row_versions(home)
    started_at = time.monotonic()
    action(job)
    seconds = time.monotonic() - started_at
    after = row_versions(home)
    changed = {row for row in before.keys() | after if before.get(row) != after.get(row)}
    return Row(
        what=what,
        recordings=len(own_ids),
        seconds=round(seconds, 1),
        transcriber_calls=calls.transcriber,
        writer_calls=calls.writer,
        embedder_calls=calls.embedder,
        texts_embedded=calls.texts,
        written=len(changed - before.keys()),
        gone=len(changed - after.keys()),
        moved=len(changed & before.keys() & after.keys()),
        others=len({row for row in changed if row.recording not in own_ids}),
        load_average=round(os.getloadavg()[0], 1),
    )


class RowKey(NamedTuple):
    """The table and key of a row, and its recording."""

    table: str
    key: str
    recording: str


def row_versions(home: Home) -> dict[RowKey, str]:
    database = Database(app_url(home.settings))
    try:
        return {
            RowKey(table, row["key"], str(row["recording_id"])): f"{row['ctid']} {row['xmin']}"
            for table, sql in _CONTENT.items()
            for row in database.rows(sql.encode())
        }
    finally:
        database.close()


def rows(home: Home, recordings: int, sentences: int, corrections: int) -> Iterator[Row]:
    ids = seeding.seed(home.services, home.instance, recordings, sentences)

    def rerun_all(job: dg.JobDefinition) -> None:
        for start in range(0, len(ids), RECORDINGS_PER_RUN):
            part = ids[start : start + RECORDINGS_PER_RUN]
            tags = {
                ASSET_PARTITION_RANGE_START_TAG: part[0],
                ASSET_PARTITION_RANGE_END_TAG: part[-1],
            }
            result = job.execute_in_process(instance=home.instance, tags=tags, run_config=_QUIET)
            assert result.success

    def correct_word(recording: Recording, job: dg.JobDefinition) -> None:
        previous = home.services.pipeline.versions.current(recording)
        segment = rng.randrange(len(previous.segments))
        words = previous.segments[segment].text.split()
        words[rng.randrange(len(words))] = "Kowalczyk"
        corrected = correct_segment(previous, segment, " ".join(words))
        home.services.pipeline.versions.correct(recording, corrected, "benchmark")
        run = RunSpec((recording,))
        result = job.execute_in_process(
            instance=home.instance, tags=dict(run.tags), run_config=run.run_config | _QUIET
        )
        assert result.success

    yield measure("nothing changed", home, ids, rerun_all)
    rng = random.Random(1)
    for number in range(corrections):
        title = f"talk {number}"
        recording = seeding.process(
            home.services, TalkTranscriber(number), title=title, kind="lecture"
        )
        home.instance.add_dynamic_partitions("recordings", [recording.partition_key])
        yield measure("one word corrected", home, [recording.id], partial(correct_word, recording))


@click.command()
@click.option("--recordings", type=click.IntRange(min=2), default=10_000, show_default=True)
@click.option("--sentences", type=click.IntRange(min=1), default=7, show_default=True)
@click.option("--corrections", type=click.IntRange(min=1), default=5, show_default=True)
@json_option
def main(recordings: int, sentences: int, corrections: int, as_json: bool) -> None:
    """Rerun without changes, then correct one word, several times."""
    with temporary_home(transcriber="stub", embedder="stub", chunking=json.dumps(_SIZES)) as home:
        print_rows(rows(home, recordings, sentences, corrections), as_json=as_json)


if __name__ == "__main__":
    main()

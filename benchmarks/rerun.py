"""What it costs when nothing changed, and when one word did.

    python -m benchmarks.rerun [--recordings 10000] [--sentences 7] [--corrections 5] [--json]

Seeds recordings that are ready (``seeding.py``), then materialises all five assets of all of them
again, a hundred to a run, as a backfill does. Then makes some talks of ten minutes, their passages
as long as by default, and in each corrects a word and finishes it. Calls are counted at the
engines; row versions in Postgres, by the place and the writing transaction of every row. Seeding
is not in the seconds.
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

#: Of talks the default sizes as MiniLM's window caps them, in the stub embedder's tokens: words.
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
    """What the engines were asked for."""

    transcriber: int = 0
    writer: int = 0
    embedder: int = 0
    texts: int = 0


@dataclass(frozen=True, slots=True)
class Row:
    """Rows of content tables: ``written`` were not there before, ``gone`` are not any more,
    ``moved`` have another version, since what stands before them in their recording is longer
    now. ``others``: those of either sort that are of another recording."""

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


def counting(calls: Calls) -> Engines:
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


class Talker(StubTranscriber):
    """Gives the same talk whatever it hears."""

    def __init__(self, number: int) -> None:
        self._number = number

    def transcribe(self, media: Path, **how: Any) -> Transcript:
        return make_talk(self._number, _SENTENCES_A_TALK)


def measure(
    what: str, home: Home, concerned: Sequence[str], work: Callable[[dg.JobDefinition], None]
) -> Row:
    calls = Calls()
    services = replace(home.services, engines=counting(calls))
    job = build_definitions(services.settings, services=services).resolve_job_def(INGEST_RECORDING)
    before = row_versions(home)
    begun = time.monotonic()
    work(job)
    seconds = time.monotonic() - begun
    after = row_versions(home)
    changed = {row for row in before.keys() | after if before.get(row) != after.get(row)}
    return Row(
        what=what,
        recordings=len(concerned),
        seconds=round(seconds, 1),
        transcriber_calls=calls.transcriber,
        writer_calls=calls.writer,
        embedder_calls=calls.embedder,
        texts_embedded=calls.texts,
        written=len(changed - before.keys()),
        gone=len(changed - after.keys()),
        moved=len(changed & before.keys() & after.keys()),
        others=len({row for row in changed if row.recording not in concerned}),
        load_average=round(os.getloadavg()[0], 1),
    )


class Known(NamedTuple):
    """Which row it is, and whose."""

    table: str
    key: str
    recording: str


def row_versions(home: Home) -> dict[Known, str]:
    database = Database(app_url(home.settings))
    try:
        return {
            Known(table, row["key"], str(row["recording_id"])): f"{row['ctid']} {row['xmin']}"
            for table, sql in _CONTENT.items()
            for row in database.rows(sql.encode())
        }
    finally:
        database.close()


def rows(home: Home, recordings: int, sentences: int, corrections: int) -> Iterator[Row]:
    ids = seeding.seed(home.services, home.instance, recordings, sentences)

    def everything(job: dg.JobDefinition) -> None:
        for start in range(0, len(ids), RECORDINGS_PER_RUN):
            part = ids[start : start + RECORDINGS_PER_RUN]
            tags = {
                ASSET_PARTITION_RANGE_START_TAG: part[0],
                ASSET_PARTITION_RANGE_END_TAG: part[-1],
            }
            result = job.execute_in_process(instance=home.instance, tags=tags, run_config=_QUIET)
            assert result.success

    def one_word(recording: Recording, job: dg.JobDefinition) -> None:
        before = home.services.pipeline.versions.current(recording)
        segment = dice.randrange(len(before.segments))
        said = before.segments[segment].text.split()
        said[dice.randrange(len(said))] = "Kowalczyk"
        corrected = correct_segment(before, segment, " ".join(said))
        home.services.pipeline.versions.correct(recording, corrected, "benchmark")
        run = RunSpec((recording,))
        result = job.execute_in_process(
            instance=home.instance, tags=dict(run.tags), run_config=run.run_config | _QUIET
        )
        assert result.success

    yield measure("everything again, nothing changed", home, ids, everything)
    dice = random.Random(1)
    for number in range(corrections):
        title = f"talk {number}"
        recording = seeding.process(home.services, Talker(number), title=title, kind="lecture")
        home.instance.add_dynamic_partitions("recordings", [recording.partition_key])
        yield measure("one word corrected", home, [recording.id], partial(one_word, recording))


@click.command()
@click.option("--recordings", type=click.IntRange(min=2), default=10_000, show_default=True)
@click.option("--sentences", type=click.IntRange(min=1), default=7, show_default=True)
@click.option("--corrections", type=click.IntRange(min=1), default=5, show_default=True)
@json_option
def main(recordings: int, sentences: int, corrections: int, as_json: bool) -> None:
    """Nothing changed, then one word, some times over."""
    with temporary_home(transcriber="stub", embedder="stub", chunking=json.dumps(_SIZES)) as home:
        print_rows(rows(home, recordings, sentences, corrections), as_json=as_json)


if __name__ == "__main__":
    main()

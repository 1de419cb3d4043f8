"""Playhead in this benchmark: the real stages ``chunks`` and ``embeddings`` on real results.

Recordings are seeded with a transcript and an empty document as finished results. Pending
recordings are taken through both stages, as in a run; for a new model, for which none is pending,
all are. ``benchmarks/throughput.py`` measures the cost of Dagster.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

import psycopg
from pgvector.psycopg import register_vector

from benchmarks.pipeline_vs_handwritten.contender import Answer
from benchmarks.pipeline_vs_handwritten.embedder import HashEmbedder
from pipeline_assets.assets.executor import StageExecutor
from pipeline_assets.assets.stage import RecordingContext, RunAttempt, StageOutcome
from pipeline_assets.policies import RECORDINGS_PER_RUN
from playhead.core.errors import PlayheadError
from playhead.core.protocols.embedder import Embedder, Vectors
from playhead.core.records import (
    NO_FILTER,
    Document,
    Engine,
    Recipe,
    Recording,
    Stage,
    Transcript,
    text_hash,
)
from playhead.core.settings import Settings
from playhead.engines.registry import EmbedderRegistry, build_engines
from playhead.postgres.database import Connection
from playhead.postgres.pipeline.recordings import new_recording_id
from playhead.postgres.pipeline.stage_results import Result, ResultKey
from playhead.services.context import open_pipeline_services
from tests.support import factories

_ATTEMPT = RunAttempt(run_id="benchmark", is_final=True, log=lambda line: None)
_ORG = "default"

_STORED = """
select r.title::integer, c.text, v.vector
from embedding_sets s
join embedded_recordings e on e.set_id = s.id
join recordings r on r.id = e.recording_id
join chunks c on c.recording_id = r.id and c.recipe_hash = e.chunk_recipe_hash and c.is_current
left join embeddings v on v.set_id = s.id and v.chunk_id = c.id
where s.engine ->> 'model' = %s
order by 1, c.ordinal"""


class PlayheadContender:
    name = "ours"

    def __init__(self, url: str, home: Path) -> None:
        self._stack = ExitStack()
        settings = Settings(
            home=home, database_url=url, transcriber="stub", embedder="stub", org=_ORG
        )
        self._models: dict[str, Embedder] = {name: HashEmbedder(name) for name in "AB"}
        makers = {name: partial(self._models.__getitem__, name) for name in "AB"}
        engines = replace(build_engines(settings), embedders=EmbedderRegistry("A", makers))
        self._makers = makers
        self._services = self._stack.enter_context(open_pipeline_services(settings, engines))
        self._connection = self._stack.enter_context(psycopg.connect(url, autocommit=True))
        register_vector(self._connection)
        recordings = self._services.pipeline.recordings.get_many(
            list(self._services.pipeline.recordings.stored())
        )
        self._recordings = {int(recording.title): recording for recording in recordings}

    def close(self) -> None:
        self._stack.close()

    def store(self, transcripts: Iterable[tuple[int, Transcript]]) -> None:
        for number, transcript in transcripts:
            if number not in self._recordings:
                self._recordings[number] = self._add(number)
            self._seed(self._recordings[number], transcript)

    def update(self, embedder: Embedder) -> None:
        while pending := self._services.pipeline.recordings.pending(limit=RECORDINGS_PER_RUN):
            self._process(pending, embedder)

    def index(self) -> None:
        [first] = self._services.search.embedding_sets.live()
        self._services.search.vector_indexes.maintain(first)

    def change_model(self, embedder: Embedder) -> None:
        new_set = self._services.search.embedding_sets.add(
            "B", embedder.engine, embedder.dimensions
        )
        stored = list(self._recordings.values())
        for start in range(0, len(stored), RECORDINGS_PER_RUN):
            self._process(stored[start : start + RECORDINGS_PER_RUN], embedder)
        self._services.search.vector_indexes.maintain(new_set)
        self._services.search.embedding_sets.activate(new_set)

    def ask(self, question: str, embedders: Mapping[str, Embedder]) -> Answer:
        """Search by vector only: a query without words has no text matches."""
        embedding_set = self._services.search.embedding_sets.active()
        assert embedding_set is not None
        [vector] = embedders[embedding_set.name].embed([question])
        found = self._services.search.chunks.find(
            "", vector, embedding_set, org_id=_ORG, filters=NO_FILTER, limit=10
        )
        return Answer(embedding_set.name, [match.text for match in found])

    def stored(self, model: str) -> Iterator[tuple[int, str, Vectors | None]]:
        for number, text, vector in self._connection.execute(_STORED, [model]):
            yield number, text, vector and vector.to_numpy()

    def _process(self, recordings: Sequence[Recording], embedder: Embedder) -> None:
        """Run both stages like ``recordings.py``, without reporting to Dagster."""
        self._models[embedder.engine.model] = embedder
        current_embedders = EmbedderRegistry("A", self._makers)
        services = replace(
            self._services, engines=replace(self._services.engines, embedders=current_embedders)
        )
        targets, current = (
            services.embedding_targets(),
            services.pipeline.results.current_results(recordings),
        )
        with StageExecutor(_raise_error) as executor:
            for recording in recordings:
                context = RecordingContext(
                    services, recording, _ATTEMPT, targets, current[recording.id]
                )
                executor.run(context, ["chunks", "embeddings"])
            executor.finish()

    def _add(self, number: int) -> Recording:
        recording = self._services.pipeline.recordings.add(_recording(number))
        facts = factories.make_media_facts(0.0)
        with self._finish_stage(recording, "raw_media", {}, "media") as write:
            self._services.pipeline.content.put_media_facts(*write, recording, facts)
        return recording

    def _seed(self, recording: Recording, transcript: Transcript) -> None:
        content, text_hash_ = self._services.pipeline.content, text_hash(transcript.text)
        document = Document("", "", "markdown", (), {"sections": []})
        inputs = {"raw_media": "media", "heard": text_hash_}
        with self._finish_stage(recording, "transcript", inputs, text_hash_) as write:
            content.put_transcript(*write, recording, transcript)
        with self._finish_stage(
            recording, "document", {"transcript": text_hash_}, f"of {text_hash_}"
        ) as write:
            content.put_document(*write, recording, document)

    @contextmanager
    def _finish_stage(
        self, recording: Recording, stage: Stage, inputs: dict[str, str], output_hash: str
    ) -> Iterator[tuple[Connection, Result]]:
        recipe = Recipe(stage, "1", Engine("seed", "benchmark"))
        results = self._services.pipeline.results
        with (
            results.claim(ResultKey(recording, recipe, inputs), run_id="seed", detail="") as claim,
            results.finish(claim, output_hash=output_hash) as write,
        ):
            yield write


def _raise_error(context: RecordingContext, stage: Stage, outcome: StageOutcome) -> None:
    if isinstance(outcome, PlayheadError):
        raise outcome


def _recording(number: int) -> Recording:
    return Recording(
        id=(identity := new_recording_id()),
        partition_key=identity,
        org_id=_ORG,
        sha256=text_hash(str(number)),
        size_bytes=0,
        kind="recording",
        title=str(number),
        language="en",
        suffix="",
    )

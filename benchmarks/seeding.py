"""Many recordings at once, without running the pipeline: rows as it would have written them.

One recording of placeholder words goes through the real stages. The others are its copies with
words of the same length in place of the placeholders: one that is unique to the copy, in every
sentence, and some of a vocabulary of 4,096. So no two texts are equal, no word is everywhere, and
all positions stay; hashes are computed as in the pipeline, so that a plan finds no differences.
Rows are written by COPY. Dagster's events are not written; ``reconcile`` reports the results to
Dagster.
"""

from __future__ import annotations

import json
import random
import re
import wave
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, LiteralString
from uuid import UUID, uuid4

import dagster as dg
import psycopg
from pgvector.psycopg import register_vector
from psycopg.rows import DictRow, dict_row

from pipeline_assets.assets.executor import StageExecutor
from pipeline_assets.assets.stage import RecordingContext, RunAttempt
from playhead.core.protocols.transcriber import Transcriber
from playhead.core.records import (
    STAGES,
    Kind,
    Recording,
    Segment,
    Transcript,
    Word,
    content_hash,
    text_hash,
)
from playhead.engines.transcription.stub import StubTranscriber
from playhead.postgres.database_urls import app_url
from playhead.postgres.pipeline.recordings import new_recording_id
from playhead.services.context import PipelineServices

_PLACEHOLDER = re.compile(r"xxxxxx(\d\d)")  # 00 is the copy's own word
_OWN = "xxxxxx00"
_PLACEHOLDERS = 60
_SYLLABLES = "ba de fi go ku la me ni".split()
_BLOCK = 500

#: A value for PLAYHEAD_CHUNKING with which every sentence is a chunk.
CHUNKING = '{"recording": {"size": 12, "overlap": 0, "minimum": 8}}'

_COPIES: dict[str, LiteralString] = {
    "recordings": "copy recordings (id, org_id, sha256, size_bytes, kind, title, "
    "partition_key, suffix, stages_done) from stdin",
    "stage_results": "copy stage_results (id, org_id, recording_id, stage, inputs, input_hash, "
    "recipe, recipe_hash, state, attempt, run_id, started_at, finished_at, output_hash, percent) "
    "from stdin",
    "current_results": "copy current_results (org_id, recording_id, stage, set_id, result_id) "
    "from stdin",
    "raw_media": "copy raw_media (result_id, org_id, recording_id, container, codec, media_type, "
    "sample_rate, channels, duration_seconds, streams) from stdin",
    "transcripts": "copy transcripts (result_id, org_id, recording_id, text, language, "
    "duration_seconds, words, segments, timeline, speakers, breaks, timing, error_seconds, "
    "dropped, languages) from stdin",
    "documents": "copy documents (result_id, org_id, recording_id, title, content, format, spans, "
    "metadata) from stdin",
    "chunks": "copy chunks (id, org_id, recording_id, recipe_hash, result_id, source, text_hash, "
    "occurrence, text, ordinal, char_start, char_end, start_seconds, end_seconds, speaker, "
    "token_count, phrases, search_config) from stdin",
    "embeddings": "copy embeddings (set_id, org_id, chunk_id, result_id, vector) from stdin "
    "(format binary)",
    "embedding_cache": "copy embedding_cache (org_id, set_id, text_hash, vector, recording_id) "
    "from stdin "
    "(format binary)",
    "embedded_recordings": "copy embedded_recordings (result_id, org_id, recording_id, set_id, "
    "chunk_recipe_hash) from stdin",
}
_JSON = frozenset({"words", "segments", "dropped", "spans", "metadata"})
_BINARY: dict[str, list[str]] = {
    "embeddings": ["int4", "text", "uuid", "int4", "vector"],
    "embedding_cache": ["text", "int4", "text", "vector", "uuid"],
}


class TemplateTranscriber(StubTranscriber):
    """Returns the template's sentences, under the name of the stub transcriber."""

    def __init__(self, sentences: int) -> None:
        self._sentences = sentences

    def transcribe(self, media: Path, **how: Any) -> Transcript:
        words_ = [word for number in range(self._sentences) for word in _sentence(number)]
        words = tuple(Word(word, at / 2, (at + 1) / 2) for at, word in enumerate(words_))
        end, text = len(words_) / 2, " ".join(words_)
        return Transcript(text, "en", end, words, (Segment(text, 0.0, end),))


def seed(
    services: PipelineServices, instance: dg.DagsterInstance | None, count: int, sentences: int
) -> list[str]:
    """Write ``count`` ready recordings of ``sentences`` sentences each, and return their ids.

    With ``CHUNKING`` each has a chunk per sentence, and those of a short document.
    """
    template = _template(services, sentences)
    copies = _Copies(services, template)
    ids: list[str] = []
    for start in range(0, count, _BLOCK):
        ids += copies.write(range(start, min(count, start + _BLOCK)))
    copies.close()
    if instance is not None:
        keys = [template.partition_key, *ids]
        for start in range(0, len(keys), 10_000):
            instance.add_dynamic_partitions("recordings", keys[start : start + 10_000])
    return ids


def first_sentence(number: int) -> str:
    """Return the first sentence of a copy."""
    return _fill_placeholders(number, " ".join(_sentence(0)))


def _sentence(number: int) -> list[str]:
    """Return twelve placeholders, the first that of the copy's own word."""
    rng = random.Random(number)
    words_ = [f"xxxxxx{rng.randrange(1, _PLACEHOLDERS):02d}" for _ in range(11)]
    return [_OWN, *words_[:-1], f"{words_[-1]}."]


def _fill_placeholders(copy: int, text: str) -> str:
    """Return the text with the copy's words for its placeholders."""
    return _PLACEHOLDER.sub(lambda match: _word(copy, int(match[1])), text)


def own_word(copy: int) -> str:
    """Return the word that is in every sentence of this copy, and of no other."""
    return f"w{copy:07d}"


def _word(copy: int, place: int) -> str:
    """Return a word of eight letters."""
    if place == 0:
        return own_word(copy)
    value = (copy * 2654435761 + place * 40503) >> 7  # Knuth's multiplicative hash
    return "".join(_SYLLABLES[value >> 3 * power & 7] for power in range(4))


def _template(services: PipelineServices, sentences: int) -> Recording:
    return process(services, TemplateTranscriber(sentences), title=_OWN)


def process(
    services: PipelineServices, transcriber: Transcriber, *, title: str, kind: Kind = "recording"
) -> Recording:
    """Run one recording through the real stages, with the text of this transcriber."""
    template_services = replace(
        services, engines=replace(services.engines, transcriber=transcriber)
    )
    with TemporaryDirectory() as folder:
        file = Path(folder) / "template.wav"
        with wave.open(str(file), "wb") as sound:
            sound.setparams((1, 2, 16_000, 0, "NONE", ""))
            sound.writeframes(uuid4().bytes * 1000)
        org = services.settings.org
        recording = services.ingest.add(file, org_id=org, title=title, kind=kind).recording
    context = RecordingContext(
        template_services,
        recording,
        RunAttempt("seed", is_final=True, log=print),
        services.embedding_targets(),
        {},
    )
    with StageExecutor(lambda *_: None) as executor:
        executor.run(context, STAGES)
        executor.finish()
    return recording


@dataclass(slots=True)
class _Rows:
    """The template's rows."""

    results: list[DictRow]
    content: Mapping[str, DictRow]
    chunks: list[DictRow]


class _Copies:
    """Writes copies of the template, one block per transaction."""

    def __init__(self, services: PipelineServices, template: Recording) -> None:
        self._target = services.embedding_targets()[0]
        self._template = template
        url = app_url(services.settings)
        self._connection = psycopg.connect(url, autocommit=True, row_factory=dict_row)
        register_vector(self._connection)
        self._rows = self._read()
        self._shared = {chunk["text_hash"] for chunk in self._rows.chunks}  # in several copies
        self._next = 1 + self._fetch_row("select max(id) as n from stage_results")["n"]

    def write(self, numbers: range) -> list[str]:
        tables: dict[str, list[tuple[Any, ...]]] = {name: [] for name in _COPIES}
        ids = [new_recording_id() for _ in numbers]
        for number, identity in zip(numbers, ids, strict=True):
            for table, row in self._copy(number, identity):
                tables[table].append(row)
        self._embed(tables)
        with self._connection.transaction():
            for table, rows in tables.items():
                with self._connection.cursor().copy(_COPIES[table]) as copy:
                    if table in _BINARY:
                        copy.set_types(_BINARY[table])
                    for row in rows:
                        copy.write_row(row)
        return ids

    def close(self) -> None:
        self._connection.execute(
            "select setval(pg_get_serial_sequence('stage_results', 'id'), max(id)) "
            "from stage_results"
        )
        self._connection.execute("vacuum analyze")
        self._connection.close()

    def _read(self) -> _Rows:
        key = {"id": self._template.id}
        results = self._fetch_rows(
            "select s.*, c.set_id from stage_results s "
            "join current_results c on c.result_id = s.id "
            "where s.recording_id = %(id)s order by s.id",
            key,
        )
        return _Rows(
            results,
            {
                "raw_media": self._fetch_row(
                    "select * from raw_media where recording_id = %(id)s", key
                ),
                "transcripts": self._fetch_row(
                    "select * from transcripts where recording_id = %(id)s", key
                ),
                "documents": self._fetch_row(
                    "select * from documents where recording_id = %(id)s", key
                ),
            },
            self._fetch_rows("select * from chunks where recording_id = %(id)s order by id", key),
        )

    def _fetch_rows(
        self, sql: LiteralString, key: Mapping[str, Any] | None = None
    ) -> list[DictRow]:
        return self._connection.execute(sql, key).fetchall()

    def _fetch_row(self, sql: LiteralString, key: Mapping[str, Any] | None = None) -> DictRow:
        [row] = self._fetch_rows(sql, key)
        return row

    def _copy(self, number: int, identity: str) -> Iterator[tuple[str, tuple[Any, ...]]]:
        own, org = own_word(number), self._template.org_id
        hashes = {
            row["stage"]: content_hash([row["stage"], identity]) for row in self._rows.results
        }
        owner = (org, identity)
        yield (
            "recordings",
            (identity, org, hashes["raw_media"], 1000, "recording", own, identity, ".wav", 5),
        )
        outputs = {row["output_hash"]: hashes[row["stage"]] for row in self._rows.results}
        result_ids: dict[str, int] = {}
        for row in self._rows.results:
            result_ids[row["stage"]] = self._next
            yield from self._result(row, owner, outputs | {_OWN: own})
            self._next += 1
        yield from self._content(number, owner, result_ids)
        for chunk in self._rows.chunks:
            text = _fill_placeholders(number, chunk["text"])
            values = chunk | {
                "id": uuid4(),
                "recording_id": identity,
                "result_id": result_ids["chunks"],
                "text": text,
                "text_hash": text_hash(text),
                "phrases": json.dumps(chunk["phrases"]),
            }
            del values["words"], values["is_current"]
            yield "chunks", tuple(values.values())
        recipe = next(row["recipe_hash"] for row in self._rows.results if row["stage"] == "chunks")
        yield (
            "embedded_recordings",
            (result_ids["embeddings"], *owner, self._target.embedding_set.id, recipe),
        )

    def _result(
        self, row: DictRow, owner: tuple[str, str], outputs: Mapping[str, str]
    ) -> Iterator[tuple[str, tuple[Any, ...]]]:
        inputs = {
            name: outputs.get(value, value) if isinstance(value, str) else value
            for name, value in row["inputs"].items()
        }
        if "sha256" in inputs:
            inputs["sha256"] = outputs[row["output_hash"]]
        yield (
            "stage_results",
            (
                self._next,
                *owner,
                row["stage"],
                json.dumps(inputs),
                content_hash(inputs),
                json.dumps(row["recipe"]),
                row["recipe_hash"],
                "done",
                1,
                "seed",
                row["started_at"],
                row["finished_at"],
                outputs[row["output_hash"]],
                100,
            ),
        )
        yield "current_results", (*owner, row["stage"], row["set_id"], self._next)

    def _content(
        self, copy: int, owner: tuple[str, str], result_ids: Mapping[str, int]
    ) -> Iterator[tuple[str, tuple[Any, ...]]]:
        stages = {"raw_media": "raw_media", "transcripts": "transcript", "documents": "document"}
        for table, stage in stages.items():
            row = dict(self._rows.content[table])
            for name in ("result_id", "org_id", "recording_id"):
                del row[name]
            cells = (_cell(name, value, copy) for name, value in row.items())
            yield table, (result_ids[stage], *owner, *cells)

    def _embed(self, tables: dict[str, list[tuple[Any, ...]]]) -> None:
        chunks, target = tables["chunks"], self._target
        vectors = target.embedder.embed([row[8] for row in chunks])
        results = {row[2]: row[0] for row in tables["stage_results"] if row[3] == "embeddings"}
        for row, vector in zip(chunks, vectors, strict=True):
            tables["embeddings"].append(
                (target.embedding_set.id, row[1], row[0], results[row[2]], vector)
            )
        cached = {
            row[6]: (vector, UUID(row[2])) for row, vector in zip(chunks, vectors, strict=True)
        }
        tables["embedding_cache"] += [
            (self._template.org_id, target.embedding_set.id, key, vector, identity)
            for key, (vector, identity) in cached.items()
            if key not in self._shared
        ]
        self._shared |= cached.keys()


def _cell(name: str, value: Any, copy: int) -> Any:
    if isinstance(value, str):
        return _fill_placeholders(copy, value)
    if name in _JSON:
        return _fill_placeholders(copy, json.dumps(value))
    return value

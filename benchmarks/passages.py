"""Passages in organisations of several sizes: recordings, chunks and vectors as they stand after
the pipeline, without the results between. Not here: how vectors are made (``topics.py``)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import LiteralString
from uuid import uuid4

import numpy as np
import psycopg
from numpy.typing import NDArray
from pgvector.psycopg import register_vector

from benchmarks.topics import DIMENSIONS, TOPICS, Topics, Vectors
from playhead.core.records import Engine
from playhead.postgres.pipeline.recordings import new_recording_id
from playhead.postgres.search.embedding_sets import EmbeddingSet

SIZES = (10, 1_000, 10_000, 100_000)
SHARES = (0.5, 0.05, 0.005, 0.0005)
_A_RECORDING = 50  # passages, of three topics
_BLOCK = 1_000  # recordings written in one transaction
_BEGIN = datetime(2025, 1, 1, tzinfo=UTC)
ENGINE = Engine("topics", "mixture-1")

_COPY_RECORDINGS: LiteralString = (
    "copy recordings (id, org_id, sha256, size_bytes, kind, title, partition_key, suffix,"
    " stages_done, created_at) from stdin"
)
_COPY_CHUNKS: LiteralString = (
    "copy chunks (id, org_id, recording_id, recipe_hash, result_id, source, text_hash, occurrence,"
    " text, ordinal, char_start, char_end, start_seconds, end_seconds, speaker, token_count,"
    " phrases, search_config) from stdin"
)
_COPY_VECTORS: LiteralString = (
    "copy embeddings (set_id, org_id, chunk_id, result_id, vector) from stdin (format binary)"
)


@dataclass(frozen=True, slots=True)
class Rows:
    """What is written. A place for each passage: its vector, organisation, the share of that one's
    recordings that came after its own, and who speaks (a place in ``SHARES``, or -1). Recordings
    are ranges of passages."""

    vectors: Vectors
    orgs: NDArray[np.int64]
    later: NDArray[np.float64]
    speakers: NDArray[np.int64]
    recordings: list[range]
    names: tuple[str, ...]


def organisations(chunks: int) -> dict[str, int]:
    """How many passages each has: those of the fixed sizes that leave room, and the rest."""
    sizes = {f"org-of-{size}": size for size in SIZES if 2 * size <= chunks}
    return sizes | {"the-rest": chunks - sum(sizes.values())}


def draw(chunks: int) -> Rows:
    """The same rows each time. Recordings of all organisations come mixed, as they do."""
    dice = np.random.default_rng(7)
    sizes = organisations(chunks)
    whole = [
        (org, min(_A_RECORDING, size - start))
        for org, size in enumerate(sizes.values())
        for start in range(0, size, _A_RECORDING)
    ]
    whole = [whole[at] for at in dice.permutation(len(whole))]
    owners, counts = np.array(whole).T
    ends = counts.cumsum()
    told = np.repeat(dice.integers(TOPICS, size=(len(whole), 3)), counts, axis=0)
    topics = told[np.arange(chunks), dice.integers(3, size=chunks)]
    bands = np.cumsum(sorted(SHARES))
    speakers = len(SHARES) - 1 - np.searchsorted(bands, dice.random(chunks), side="right")
    return Rows(
        _vectors(topics, dice),
        np.repeat(owners, counts),
        np.repeat(_share_after(owners), counts),
        speakers,
        [range(end - count, end) for end, count in zip(ends, counts, strict=True)],
        tuple(sizes),
    )


def _vectors(topics: NDArray[np.int64], dice: np.random.Generator) -> Vectors:
    model, made = Topics(), np.empty((len(topics), DIMENSIONS), np.float32)
    for start in range(0, len(topics), 50_000):
        made[start : start + 50_000] = model.draw(topics[start : start + 50_000], dice)
    return made


def _share_after(owners: NDArray[np.int64]) -> NDArray[np.float64]:
    after = np.empty(len(owners))
    for org in np.unique(owners):
        places = np.flatnonzero(owners == org)
        after[places] = 1 - (np.arange(len(places)) + 1) / len(places)
    return after


def write(url: str, rows: Rows, searched: EmbeddingSet) -> None:
    """By COPY, without looking whether what is referred to is there: results are left out."""
    with psycopg.connect(url, autocommit=True) as connection:
        register_vector(connection)
        connection.execute("set session_replication_role = replica")
        for name in rows.names:
            connection.execute("insert into organisations (id) values (%s)", [name])
        for start in range(0, len(rows.recordings), _BLOCK):
            with connection.transaction():
                _write(connection, rows, searched, rows.recordings[start : start + _BLOCK])
        connection.execute("vacuum analyze")


def _write(
    connection: psycopg.Connection, rows: Rows, searched: EmbeddingSet, block: Sequence[range]
) -> None:
    ids = {passages.start: new_recording_id() for passages in block}
    orgs = {passages.start: rows.names[rows.orgs[passages.start]] for passages in block}
    with connection.cursor().copy(_COPY_RECORDINGS) as copy:
        for at, identity in ids.items():
            told = (identity, orgs[at], sha256(identity.encode()).hexdigest(), 1000, "recording")
            copy.write_row((*told, identity, identity, ".wav", 5, came(rows.later[at])))
    chunk_ids = {at: uuid4() for passages in block for at in passages}
    with connection.cursor().copy(_COPY_CHUNKS) as copy:
        for passages in block:
            for place, at in enumerate(passages):
                text, begun = f"passage {at} says little", 10.0 * place
                name = speaker(int(rows.speakers[at]))
                owner = (orgs[passages.start], ids[passages.start])
                row = ("recipe", 0, "transcript", sha256(text.encode()).hexdigest(), 0, text)
                spoken = (place, 0, len(text), begun, begun + 10, name, 4, "[]", "english")
                copy.write_row((chunk_ids[at], *owner, *row, *spoken))
    with connection.cursor().copy(_COPY_VECTORS) as copy:
        copy.set_types(["int4", "text", "uuid", "int4", "vector"])
        for passages in block:
            for at in passages:
                org = orgs[passages.start]
                copy.write_row((searched.id, org, chunk_ids[at], 0, rows.vectors[at]))


def came(later: float) -> datetime:
    """When a recording came that a share of the others came after."""
    return _BEGIN + (1 - later) * timedelta(days=1000)


def speaker(place: int) -> str | None:
    return None if place < 0 else f"speaker of {SHARES[place]:.2%}"

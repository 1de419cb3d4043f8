"""Chunks in organisations of several sizes: recordings, chunks and vectors as the pipeline stores
them, without the intermediate results. ``topics.py`` generates the vectors."""

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
_CHUNKS_PER_RECORDING = 50  # chunks of three topics
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
    """The rows to write.

    Each chunk has its vector, its organisation, the share of that organisation's recordings that
    came later than its own, and its speaker (an index in ``SHARES``, or -1). Recordings are ranges
    of chunks.
    """

    vectors: Vectors
    orgs: NDArray[np.int64]
    share_after: NDArray[np.float64]
    speakers: NDArray[np.int64]
    recordings: list[range]
    names: tuple[str, ...]


def organisation_sizes(chunks: int) -> dict[str, int]:
    """Return the number of chunks per organisation: fixed sizes that fit, and the rest."""
    sizes = {f"org-of-{size}": size for size in SIZES if 2 * size <= chunks}
    return sizes | {"the-rest": chunks - sum(sizes.values())}


def draw(chunks: int) -> Rows:
    """Return the same rows each time, with the recordings of all organisations mixed."""
    rng = np.random.default_rng(7)
    sizes = organisation_sizes(chunks)
    recordings = [
        (org, min(_CHUNKS_PER_RECORDING, size - start))
        for org, size in enumerate(sizes.values())
        for start in range(0, size, _CHUNKS_PER_RECORDING)
    ]
    recordings = [recordings[at] for at in rng.permutation(len(recordings))]
    owner_of, counts = np.array(recordings).T
    ends = counts.cumsum()
    topics_of_recording = np.repeat(rng.integers(TOPICS, size=(len(recordings), 3)), counts, axis=0)
    topics = topics_of_recording[np.arange(chunks), rng.integers(3, size=chunks)]
    bands = np.cumsum(sorted(SHARES))
    speakers = len(SHARES) - 1 - np.searchsorted(bands, rng.random(chunks), side="right")
    return Rows(
        _vectors(topics, rng),
        np.repeat(owner_of, counts),
        np.repeat(_share_after(owner_of), counts),
        speakers,
        [range(end - count, end) for end, count in zip(ends, counts, strict=True)],
        tuple(sizes),
    )


def _vectors(topics: NDArray[np.int64], rng: np.random.Generator) -> Vectors:
    model, vectors = Topics(), np.empty((len(topics), DIMENSIONS), np.float32)
    for start in range(0, len(topics), 50_000):
        vectors[start : start + 50_000] = model.draw(topics[start : start + 50_000], rng)
    return vectors


def _share_after(owner_of: NDArray[np.int64]) -> NDArray[np.float64]:
    after = np.empty(len(owner_of))
    for org in np.unique(owner_of):
        places = np.flatnonzero(owner_of == org)
        after[places] = 1 - (np.arange(len(places)) + 1) / len(places)
    return after


def write(url: str, rows: Rows, embedding_set: EmbeddingSet) -> None:
    """Write the rows by COPY, without checking references, since results are left out."""
    with psycopg.connect(url, autocommit=True) as connection:
        register_vector(connection)
        connection.execute("set session_replication_role = replica")
        for name in rows.names:
            connection.execute("insert into organisations (id) values (%s)", [name])
        for start in range(0, len(rows.recordings), _BLOCK):
            with connection.transaction():
                _write(connection, rows, embedding_set, rows.recordings[start : start + _BLOCK])
        connection.execute("vacuum analyze")


def _write(
    connection: psycopg.Connection, rows: Rows, embedding_set: EmbeddingSet, block: Sequence[range]
) -> None:
    ids = {span.start: new_recording_id() for span in block}
    orgs = {span.start: rows.names[rows.orgs[span.start]] for span in block}
    with connection.cursor().copy(_COPY_RECORDINGS) as copy:
        for at, identity in ids.items():
            topics_of_recording = (
                identity,
                orgs[at],
                sha256(identity.encode()).hexdigest(),
                1000,
                "recording",
            )
            copy.write_row(
                (
                    *topics_of_recording,
                    identity,
                    identity,
                    ".wav",
                    5,
                    arrival_time(rows.share_after[at]),
                )
            )
    chunk_ids = {at: uuid4() for span in block for at in span}
    with connection.cursor().copy(_COPY_CHUNKS) as copy:
        for span in block:
            for position, at in enumerate(span):
                text, start = f"passage {at} says little", 10.0 * position
                name = speaker_name(int(rows.speakers[at]))
                owner = (orgs[span.start], ids[span.start])
                row = ("recipe", 0, "transcript", sha256(text.encode()).hexdigest(), 0, text)
                spoken = (position, 0, len(text), start, start + 10, name, 4, "[]", "english")
                copy.write_row((chunk_ids[at], *owner, *row, *spoken))
    with connection.cursor().copy(_COPY_VECTORS) as copy:
        copy.set_types(["int4", "text", "uuid", "int4", "vector"])
        for span in block:
            for at in span:
                org = orgs[span.start]
                copy.write_row((embedding_set.id, org, chunk_ids[at], 0, rows.vectors[at]))


def arrival_time(share_after: float) -> datetime:
    """Return the arrival time of a recording by the share of the others that came later."""
    return _BEGIN + (1 - share_after) * timedelta(days=1000)


def speaker_name(position: int) -> str | None:
    return None if position < 0 else f"speaker of {SHARES[position]:.2%}"

"""The practical floor: what a careful person would write by hand for this one job.

There are two of them, on psycopg 3 without Playhead's code. ``BareFloor`` stores texts and vectors:

- windows of 500 words, each repeating the last 50 of the previous one
- every text is hashed; only those with a new hash are split, and of their chunks only those with
  other words are written and embedded
- binary COPY; texts, vectors and hashes of 100 transcripts are one transaction
- an HNSW index after the load; from then on rows are added to it one by one
- a new model is a partition of its own, built beside from the stored chunks, then indexed; one row
  names the current model, and a search reads that row first

``SameJobFloor`` also stores what Playhead stores of a chunk: its characters, its first and last
second, a ``tsvector`` (GIN after the load), a reference from vector to chunk. It reads the words'
times as arrays, which is cheaper than JSON.

Neither has sentences, stable boundaries, phrases, speakers, documents or languages; stage results
(recipes, attempts, lineage, errors, progress, concurrent workers); organisations; a cache of
vectors; checks of the stored rows; chunks that keep their id.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import accumulate
from typing import Any

import psycopg
from pgvector import Vector
from pgvector.psycopg import register_vector

from benchmarks.pipeline_vs_handwritten.contender import Answer
from playhead.core.protocols.embedder import Embedder, Vectors
from playhead.core.records import Transcript

_SIZE, _OVERLAP = 500, 50  # words
_TRANSCRIPTS_PER_BATCH = 100
_CHUNKS_PER_BATCH = 2_000
_MAX_CHUNKS = 1_000  # per transcript; a chunk's id is made of its transcript's and its index

_TABLES = """
create extension if not exists vector;
create table transcripts (id integer primary key, text text not null,
    starts double precision[] not null, ends double precision[] not null);
create table hashes (transcript integer primary key, hash bytea not null);
create table vectors (model text, chunk integer, vector vector(384) not null,
    primary key (model, chunk)) partition by list (model);
create table vectors_a partition of vectors for values in ('A');
create table vectors_b partition of vectors for values in ('B');
create table serving (model text not null);
insert into serving values ('A')"""

_BARE_CHUNKS = "create table chunks (id integer primary key, text text not null)"

_SAME_JOB_CHUNKS = """
create table chunks (id integer primary key, text text not null,
    char_start integer not null, char_end integer not null,
    start_seconds double precision not null, end_seconds double precision not null,
    words tsvector generated always as (to_tsvector('english', text)) stored);
alter table vectors add foreign key (chunk) references chunks on delete cascade"""

_KEEP_TRANSCRIPT = """
insert into transcripts values (%s, %s, %s, %s)
on conflict (id) do update set text = excluded.text"""

_KEEP_HASHES = """
insert into hashes select * from unnest(%s::integer[], %s::bytea[])
on conflict (transcript) do update set hash = excluded.hash"""

_STORED_CHUNKS = "select id, text from chunks where id / 1000 = any(%s)"
_ALL_CHUNKS = "select id, text from chunks order by id"
_MOVE = """
update chunks set char_start = %s, char_end = %s, start_seconds = %s, end_seconds = %s
where (char_start, char_end, start_seconds, end_seconds) is distinct from (%s, %s, %s, %s)
    and id = %s and text = %s"""
_DELETE_VECTORS = "delete from vectors where chunk = any(%s)"
_DELETE_CHUNKS = "delete from chunks where id = any(%s)"
_COPY_VECTORS = "copy vectors from stdin (format binary)"

# Enough memory: an index that outgrows it is built many times slower.
_ROOM_FOR_AN_INDEX = "set maintenance_work_mem = '512MB'"
_INDEX = {
    "A": "create index on vectors_a using hnsw (vector vector_cosine_ops)",
    "B": "create index on vectors_b using hnsw (vector vector_cosine_ops)",
}
_INDEX_WORDS = "create index on chunks using gin (words)"

_NEAREST = """
select text from chunks join (
    select chunk, vector <=> %s as distance from vectors where model = %s
    order by distance limit 10) as nearest on id = chunk
order by distance"""

_STORED = """
select id / 1000, text, vector from chunks left join vectors on chunk = id and model = %s
order by id"""

Row = tuple[Any, ...]


class BareFloor:
    name = "floor, bare"
    _chunk_table = _BARE_CHUNKS
    _copy_chunks = "copy chunks from stdin (format binary)"
    _chunk_types: Sequence[str] = ("int4", "text")

    def __init__(self, url: str) -> None:
        self._connection = psycopg.connect(url, autocommit=True)
        tables = self._connection.execute("select from pg_tables where tablename = 'hashes'")
        if not tables.fetchall():
            self._connection.execute(_TABLES)
            self._connection.execute(self._chunk_table)
        register_vector(self._connection)
        self._search_connection = psycopg.connect(url, autocommit=True)
        register_vector(self._search_connection)

    def close(self) -> None:
        self._connection.close()
        self._search_connection.close()

    def store(self, transcripts: Iterable[tuple[int, Transcript]]) -> None:
        with self._connection.transaction():
            for number, transcript in transcripts:
                times = [[w.start for w in transcript.words], [w.end for w in transcript.words]]
                self._connection.execute(_KEEP_TRANSCRIPT, (number, transcript.text, *times))

    def update(self, embedder: Embedder) -> None:
        """Split and embed what changed since the last time, everything the first time."""
        known = {row[0]: row[1] for row in self._rows("select transcript, hash from hashes")}
        changed = []
        for number, text in self._rows("select id, text from transcripts order by id"):
            digest = hashlib.sha256(text.encode()).digest()
            if known.get(number) != digest:
                changed.append((number, text, digest))
        for first in range(0, len(changed), _TRANSCRIPTS_PER_BATCH):
            batch = changed[first : first + _TRANSCRIPTS_PER_BATCH]
            with self._connection.transaction():
                self._write(batch, embedder, fresh=not known)

    def index(self) -> None:
        self._connection.execute(_ROOM_FOR_AN_INDEX)
        self._connection.execute(_INDEX["A"])

    def change_model(self, embedder: Embedder) -> None:
        """Build the set of the embedder's model beside the current one, then switch to it."""
        chunks = self._rows(_ALL_CHUNKS)
        for first in range(0, len(chunks), _CHUNKS_PER_BATCH):
            with self._connection.transaction():
                self._embed(chunks[first : first + _CHUNKS_PER_BATCH], embedder)
        self._connection.execute(_ROOM_FOR_AN_INDEX)
        self._connection.execute(_INDEX[embedder.engine.model])
        self._connection.execute("update serving set model = %s", [embedder.engine.model])

    def ask(self, question: str, embedders: Mapping[str, Embedder]) -> Answer:
        (model,) = self._search_connection.execute("select model from serving").fetchall()[0]
        vector = embedders[model].embed([question])[0]
        rows = self._search_connection.execute(_NEAREST, (vector, model)).fetchall()
        return Answer(model, [text for (text,) in rows])

    def stored(self, model: str) -> Iterator[tuple[int, str, Vectors | None]]:
        for number, text, vector in self._rows(_STORED, [model]):
            yield number, text, vector and vector.to_numpy()

    def _rows(self, sql: str, values: Sequence[Any] = ()) -> list[Row]:
        return self._connection.execute(sql, values, binary=True).fetchall()

    def _write(
        self, batch: Sequence[tuple[int, str, bytes]], embedder: Embedder, *, fresh: bool
    ) -> None:
        numbers = [number for number, _, _ in batch]
        rows = self._split(batch)
        if not fresh:
            rows = self._changed(numbers, rows)
        with self._connection.cursor().copy(self._copy_chunks) as copy:
            copy.set_types(self._chunk_types)
            for row in rows:
                copy.write_row(row)
        self._embed([row[:2] for row in rows], embedder)
        self._connection.execute(_KEEP_HASHES, (numbers, [digest for _, _, digest in batch]))

    def _changed(self, numbers: Sequence[int], rows: Sequence[Row]) -> list[Row]:
        """Return the rows that are not stored, and delete stored chunks that are outdated."""
        stored = set(self._rows(_STORED_CHUNKS, [numbers]))
        outdated = [number for number, _ in stored - {row[:2] for row in rows}]
        self._connection.execute(_DELETE_VECTORS, [outdated])
        self._connection.execute(_DELETE_CHUNKS, [outdated])
        return [row for row in rows if row[:2] not in stored]

    def _split(self, batch: Sequence[tuple[int, str, bytes]]) -> list[Row]:
        rows: list[Row] = []
        for number, text, _ in batch:
            words = text.split(" ")
            for index, (first, end) in enumerate(_windows(len(words))):
                rows.append((number * _MAX_CHUNKS + index, " ".join(words[first:end])))
        return rows

    def _embed(self, chunks: Sequence[Row], embedder: Embedder) -> None:
        vectors = embedder.embed([text for _, text in chunks])
        model = embedder.engine.model
        with self._connection.cursor().copy(_COPY_VECTORS) as copy:
            copy.set_types(("text", "int4", "vector"))
            for (number, _), vector in zip(chunks, vectors, strict=True):
                copy.write_row((model, number, Vector(vector)))


class SameJobFloor(BareFloor):
    name = "floor, same job"
    _chunk_table = _SAME_JOB_CHUNKS
    _copy_chunks = """copy chunks (id, text, char_start, char_end, start_seconds, end_seconds)
        from stdin (format binary)"""
    _chunk_types = ("int4", "text", "int4", "int4", "float8", "float8")

    def index(self) -> None:
        super().index()
        self._connection.execute(_INDEX_WORDS)

    def _changed(self, numbers: Sequence[int], rows: Sequence[Row]) -> list[Row]:
        """Also move chunks after a longer word, which have the same words elsewhere."""
        positions = [row[2:] * 2 + row[:2] for row in rows]
        self._connection.cursor().executemany(_MOVE, positions)
        return super()._changed(numbers, rows)

    def _split(self, batch: Sequence[tuple[int, str, bytes]]) -> list[Row]:
        numbers = [number for number, _, _ in batch]
        timed = self._rows("select id, starts, ends from transcripts where id = any(%s)", [numbers])
        times = {number: (starts, ends) for number, starts, ends in timed}
        rows: list[Row] = []
        for number, text, _ in batch:
            starts, ends = times[number]
            words = text.split(" ")
            offsets = list(accumulate((len(word) + 1 for word in words), initial=0))
            for index, (first, end) in enumerate(_windows(len(words))):
                span = offsets[first], offsets[end] - 1
                row = (number * _MAX_CHUNKS + index, text[slice(*span)], *span)
                rows.append((*row, starts[first], ends[end - 1]))
        return rows


def _windows(words: int) -> Iterator[tuple[int, int]]:
    for first in range(0, max(1, words - _OVERLAP), _SIZE - _OVERLAP):
        yield first, min(first + _SIZE, words)

"""Content of the stages: transcripts, documents, chunks and vectors.

It is written inside ``StageResults.finish`` and read by later stages and by people. Chunks and
vectors are stored by exact delta: only missing rows are inserted, only unneeded ones deleted, and
an unchanged chunk keeps its id, vector and citations.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from psycopg.rows import DictRow
from psycopg.types.json import Jsonb

from playhead.core.errors import (
    ClaimLost,
    DatabaseUnavailable,
    InvalidEngineOutput,
    RecordingDeleted,
)
from playhead.core.records import (
    Chunk,
    ChunkSpan,
    Document,
    DroppedSpeech,
    MediaFacts,
    Recording,
    Segment,
    Source,
    TimedSpan,
    Transcript,
    Word,
    content_hash,
    text_hash,
)
from playhead.postgres.database import (
    Connection,
    Database,
    Organisation,
    queries,
    replace_unstorable_chars,
)
from playhead.postgres.pipeline.stage_results import Result
from playhead.transcripts.timeline import Timeline
from playhead.transcripts.word_positions import TimedText, timed_text

_SQL = queries("content")
_CHUNKED_AGAIN = "cut anew"  # as put_vectors reports it


@dataclass(frozen=True, slots=True)
class Coverage:
    """The numbers of chunks, of their tokens, and of chunks with a vector."""

    chunks: int
    tokens: int
    vectors: int


@dataclass(frozen=True, slots=True)
class UncachedText:
    """A text without a vector, and a recording that has it."""

    text: str
    recording_id: str


@dataclass(frozen=True, slots=True)
class ChunkWrite:
    """The chunks that a result is to have. ``language`` is for those without one of their own."""

    recording: Recording
    result: Result
    chunks: Sequence[Chunk]
    language: str


@dataclass(frozen=True, slots=True)
class EmbeddingWrite:
    """A result whose vectors are those of the chunks of another result."""

    recording: Recording
    result: Result
    chunks: Result


class Content:
    """Reads and writes content.

    Reads need no claim; the ``put_*`` methods take what ``StageResults.finish`` yields. Several
    recordings in one call belong to one organisation.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def media_facts(self, recording: Recording, result_id: int) -> MediaFacts:
        row = self._row("raw_media", recording, result_id)
        return MediaFacts(**row | {"streams": tuple(row["streams"])})

    def put_media_facts(
        self, connection: Connection, result: Result, recording: Recording, facts: MediaFacts
    ) -> None:
        values = asdict(facts) | {"streams": list(facts.streams)}
        connection.execute(_SQL["put_raw_media"], _owned(recording, result.id) | values)

    def transcript(self, recording: Recording, result_id: int) -> Transcript:
        return transcript_of_row(self._row("transcript", recording, result_id))

    def timed_text(self, recording: Recording, result_id: int) -> TimedText:
        """Return a transcript without its words: 0.4 ms for 6,000 words, instead of 30 ms."""
        row = self._row("timed_text", recording, result_id, binary=True)
        if row["timeline"] is None:  # stored before timelines were
            return timed_text(self.transcript(recording, result_id))
        timeline = Timeline.unpack(row["timeline"], (None, *row["speakers"]))
        return TimedText(
            row["text"],
            row["language"],
            row["duration_seconds"],
            timeline,
            row["breaks"],
            tuple(row["languages"] or ()),
        )

    def put_transcript(
        self, connection: Connection, result: Result, recording: Recording, transcript: Transcript
    ) -> None:
        values = replace_unstorable_chars(asdict(transcript))
        values |= {name: Jsonb(values[name]) for name in ("words", "segments", "dropped")}
        timed = timed_text(transcript)
        values |= {
            "timeline": timed.timeline.pack(),
            "speakers": replace_unstorable_chars(timed.timeline.names[1:]),
            "breaks": timed.breaks,
            "languages": list(timed.languages) or None,
        }
        connection.execute(_SQL["put_transcript"], _owned(recording, result.id) | values)

    def document(self, recording: Recording, result_id: int) -> Document:
        row = self._row("document", recording, result_id)
        spans = tuple(TimedSpan(**span) for span in row["spans"])
        return Document(**row | {"spans": spans})

    def put_document(
        self, connection: Connection, result: Result, recording: Recording, document: Document
    ) -> None:
        values = replace_unstorable_chars(asdict(document))
        values |= {"spans": Jsonb(values["spans"]), "metadata": Jsonb(values["metadata"])}
        connection.execute(_SQL["put_document"], _owned(recording, result.id) | values)

    def chunks(self, recording: Recording, recipe_hash: str) -> list[DictRow]:
        """Return the recording's chunks of one recipe, the transcript's first, in order."""
        read = self._database.as_role(recording.org_id, "playhead_app")
        return read.rows(_SQL["chunks"], **_chunked(recording, recipe_hash))

    def chunk_spans(
        self, recipes: Iterable[tuple[Recording, str]]
    ) -> dict[tuple[str, Source], list[ChunkSpan]]:
        """Return the spans of the chunks of each recording and recipe hash, in order.

        Keys are recording id and source; those without chunks are missing.
        """
        found: dict[tuple[str, Source], list[ChunkSpan]] = {}
        for row in self._rows_of_all("chunk_spans", list(recipes)):
            key = row.pop("recording_id"), row.pop("source")
            found.setdefault(key, []).append(ChunkSpan(**row))
        return found

    def put_chunks(self, connection: Connection, writes: Sequence[ChunkWrite]) -> None:
        """Replace the stored chunks of each result.

        Old chunks stay searchable until ``put_embeddings`` has stored the new vectors.
        """
        values = _chunked_by_recipe(
            (write.recording, write.result.recipe_hash) for write in writes
        ) | {
            "result_ids": [write.result.id for write in writes],
            "languages": [write.language for write in writes],
            "chunks": [Jsonb(list(_chunk_rows(write.chunks))) for write in writes],
            "hashes": [write.result.output_hash for write in writes],
        }
        connection.execute(_SQL["put_chunks"], values)

    def uncached_texts(
        self, org_id: str, recipes: Mapping[str, str], set_id: int
    ) -> dict[str, UncachedText]:
        """Return the texts of these recordings' chunks without a vector in the set, by hash.

        ``recipes``: the recipe hash of the chunks, by recording id.
        """
        rows = self._embedding(org_id).rows(
            _SQL["uncached_texts"],
            org_id=org_id,
            ids=list(recipes),
            recipes=list(recipes.values()),
            set_id=set_id,
        )
        return {row["text_hash"]: UncachedText(row["text"], row["recording_id"]) for row in rows}

    def uncached_of(self, org_id: str, set_id: int, hashes: Sequence[str]) -> list[str]:
        """Return those of the text hashes that still have no vector, in their order."""
        values = {"org_id": org_id, "set_id": set_id, "text_hashes": list(hashes)}
        return [row["hash"] for row in self._embedding(org_id).rows(_SQL["uncached_of"], **values)]

    def cache_vectors(
        self,
        org_id: str,
        set_id: int,
        texts: Mapping[str, UncachedText],
        vectors: NDArray[np.float32],
    ) -> None:
        """Store vectors as soon as they are paid for, whether or not the run succeeds.

        Stores none for a recording that was deleted in the meantime. ``texts`` are by hash, with
        one row of ``vectors`` each.
        """
        store = partial(
            self._embedding(org_id).run,
            _SQL["cache_vectors"],
            org_id=org_id,
            set_id=set_id,
            text_hashes=list(texts),
            vectors=list(vectors),
            recording_ids=[text.recording_id for text in texts.values()],
        )
        try:
            store()
        except DatabaseUnavailable:  # connection lost; the server is usually back within seconds
            store()

    def put_embeddings(
        self, connection: Connection, writes: Sequence[EmbeddingWrite], set_id: int
    ) -> None:
        """Give every chunk its cached vector; from then on exactly these are searched.

        Chunks that no set searches are deleted. Raises ``ClaimLost`` if the recording was chunked
        again in the meantime, and ``InvalidEngineOutput`` if a chunk has no vector.
        """
        values = _chunked_by_recipe(
            (write.recording, write.chunks.recipe_hash) for write in writes
        ) | {
            "set_id": set_id,
            "result_ids": [write.result.id for write in writes],
            "chunks_results": [write.chunks.id for write in writes],
        }
        for row in connection.execute(_SQL["put_vectors"], values):
            if row["fault"] == _CHUNKED_AGAIN:
                raise ClaimLost(
                    f"The chunks of {row['recording_id']} were replaced.",
                    remedy="Nothing to do: the new ones are embedded next.",
                )
            raise InvalidEngineOutput(
                f"{row['fault']}.", remedy=f"playhead retry {row['recording_id']}"
            )

    def coverage(self, embedded: Sequence[EmbeddingWrite], set_id: int) -> list[Coverage]:
        """Return how many chunks of each recording have a vector in the set."""
        recipes = [(write.recording, write.chunks.recipe_hash) for write in embedded]
        rows = self._rows_of_all("coverage", recipes, set_id=set_id)
        found = {row.pop("recording_id"): Coverage(**row) for row in rows}
        return [found[write.recording.id] for write in embedded]

    def invalidate_incomplete(self) -> int:
        """Mark results as not done whose content is incomplete. Return their number.

        That happens in a damaged or restored database. Covers all organisations.
        """
        return self._database.run(_SQL["invalidate_incomplete"])

    def _embedding(self, org_id: str) -> Organisation:
        """Return access with the role that computes vectors, the only one that sees the cache."""
        return self._database.as_role(org_id, "playhead_pipeline")

    def _rows_of_all(
        self, name: str, recipes: Sequence[tuple[Recording, str]], **values: Any
    ) -> list[DictRow]:
        [org_id] = {recording.org_id for recording, _ in recipes}
        read = self._database.as_role(org_id, "playhead_app")
        return read.rows(_SQL[name], **_chunked_by_recipe(recipes), **values)

    def _row(
        self, name: str, recording: Recording, result_id: int, *, binary: bool = False
    ) -> DictRow:
        read = self._database.as_role(recording.org_id, "playhead_app")
        row = read.row(
            _SQL[name],
            binary=binary,
            org_id=recording.org_id,
            recording_id=recording.id,
            result_id=result_id,
        )
        if row is None:  # content is only deleted with its recording
            raise RecordingDeleted
        return row


def transcript_of_row(row: Mapping[str, Any]) -> Transcript:
    """Return the transcript of a row of ``transcripts``, or of JSON with its names."""
    return Transcript(
        text=row["text"],
        language=row["language"],
        duration_seconds=row["duration_seconds"],
        words=tuple(Word(word["word"], word["start"], word["end"]) for word in row["words"]),
        segments=tuple(Segment(**segment) for segment in row["segments"]),
        timing=row["timing"],
        error_seconds=row["error_seconds"],
        dropped=tuple(DroppedSpeech(**dropped) for dropped in row["dropped"]),
    )


def transcript_hash(transcript: Transcript) -> str:
    """Return the hash of a transcript, on which all later stages depend."""
    return content_hash(
        [
            transcript.text,
            transcript.language,
            [[word.word, word.start, word.end] for word in transcript.words],
            [
                [part.text, part.start, part.end, part.speaker]
                + ([part.language] if part.language else [])
                for part in transcript.segments
            ],
        ]
    )


def chunks_hash(chunks: Sequence[Chunk]) -> str:
    """Return the hash on which embedding depends: the texts, not their positions."""
    return content_hash(sorted(_identities(chunks)))


def _chunk_rows(chunks: Sequence[Chunk]) -> Iterator[dict[str, Any]]:
    """Yield the rows of chunks.

    Written out because ``asdict`` takes 17 times as long (2.4 ms for 18 chunks of 30 sentences).
    Their text was read from the database, so it can be stored.
    """
    for (source, key, occurrence), chunk in zip(_identities(chunks), chunks, strict=True):
        yield {
            "source": source,
            "text_hash": key,
            "occurrence": occurrence,
            "text": chunk.text,
            "ordinal": chunk.ordinal,
            "char_start": chunk.char_start,
            "char_end": chunk.char_end,
            "start_seconds": chunk.start_seconds,
            "end_seconds": chunk.end_seconds,
            "speaker": chunk.speaker,
            "token_count": chunk.token_count,
            "language": chunk.language,
            "phrases": [
                (phrase.char_start, phrase.char_end, phrase.start_seconds, phrase.end_seconds)
                for phrase in chunk.phrases
            ],
        }


def _identities(chunks: Sequence[Chunk]) -> Iterator[tuple[str, str, int]]:
    """Yield source, text hash and occurrence number of each chunk."""
    seen: Counter[tuple[str, str]] = Counter()
    for chunk in chunks:
        key = (chunk.source, text_hash(chunk.text))
        yield (*key, seen[key])
        seen[key] += 1


def _owned(recording: Recording, result_id: int) -> dict[str, Any]:
    return {"result_id": result_id, "org_id": recording.org_id, "recording_id": recording.id}


def _chunked_by_recipe(recipes: Iterable[tuple[Recording, str]]) -> dict[str, list[str]]:
    """Return the query values for chunks of several recordings, each by its recipe."""
    pairs = list(recipes)
    return {
        "org_ids": [recording.org_id for recording, _ in pairs],
        "recording_ids": [recording.id for recording, _ in pairs],
        "recipe_hashes": [recipe_hash for _, recipe_hash in pairs],
    }


def _chunked(recording: Recording, recipe_hash: str) -> dict[str, Any]:
    return {
        "org_id": recording.org_id,
        "recording_id": recording.id,
        "recipe_hash": recipe_hash,
    }

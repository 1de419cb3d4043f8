"""What the stages made: written inside ``Ledger.finish``, read by the stages after and by people.

Chunks and vectors are kept by exact delta: only what is missing is inserted, only what is
unwanted is deleted, and what stayed keeps its id, vector and citations.

Not here: who may write (``ledger.py``) and how passages are found (``search.py``).
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
from playhead.transcripts.word_positions import Spoken, spoken

_SQL = queries("content")
_CHUNKED_AGAIN = "cut anew"  # as put_vectors says it


@dataclass(frozen=True, slots=True)
class Coverage:
    """Chunks, their tokens, and how many of the chunks have a vector."""

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
    """The chunks that a result is to have. ``language``: of those that do not say another."""

    recording: Recording
    result: Result
    chunks: Sequence[Chunk]
    language: str


@dataclass(frozen=True, slots=True)
class EmbeddingWrite:
    """A result whose vectors are those of the chunks of another."""

    recording: Recording
    result: Result
    chunks: Result


class Content:
    """Reads outside a claim; the ``put_*`` methods take what ``Ledger.finish`` gives. Several
    recordings at once are one organisation's."""

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

    def timed_text(self, recording: Recording, result_id: int) -> Spoken:
        """A transcript without its words: of 6,000 in 0.4 ms, with them in 30 ms."""
        row = self._row("spoken", recording, result_id, binary=True)
        if row["timeline"] is None:  # kept before timelines were
            return spoken(self.transcript(recording, result_id))
        timeline = Timeline.unpacked(row["timeline"], (None, *row["speakers"]))
        return Spoken(
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
        cut_by = spoken(transcript)
        values |= {
            "timeline": cut_by.timeline.packed(),
            "speakers": replace_unstorable_chars(cut_by.timeline.names[1:]),
            "breaks": cut_by.breaks,
            "languages": list(cut_by.languages) or None,
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
        """The recording's chunks of one recipe, transcript's first, in order."""
        read = self._database.as_role(recording.org_id, "playhead_app")
        return read.rows(_SQL["chunks"], **_chunked(recording, recipe_hash))

    def chunk_spans(
        self, cut_by: Iterable[tuple[Recording, str]]
    ) -> dict[tuple[str, Source], list[ChunkSpan]]:
        """Where the chunks of each recording and recipe hash stand, in order, by the id of the
        recording and source; nothing where there are none."""
        found: dict[tuple[str, Source], list[ChunkSpan]] = {}
        for row in self._rows_of_all("passages", list(cut_by)):
            key = row.pop("recording_id"), row.pop("source")
            found.setdefault(key, []).append(ChunkSpan(**row))
        return found

    def put_chunks(self, connection: Connection, cuts: Sequence[ChunkWrite]) -> None:
        """Make the chunks of each result's recording and recipe exactly these. Those that are
        searched and no longer wanted stay until ``put_embeddings`` lets go of them."""
        values = _chunked_by_recipe((cut.recording, cut.result.recipe_hash) for cut in cuts) | {
            "result_ids": [cut.result.id for cut in cuts],
            "languages": [cut.language for cut in cuts],
            "chunks": [Jsonb(list(_chunk_rows(cut.chunks))) for cut in cuts],
            "hashes": [cut.result.output_hash for cut in cuts],
        }
        connection.execute(_SQL["put_chunks"], values)

    def uncached_texts(
        self, org_id: str, recipes: Mapping[str, str], set_id: int
    ) -> dict[str, UncachedText]:
        """The texts of these recordings' chunks that the set has no vector of, by hash.
        ``recipes``: the recipe hash of the chunks meant, by recording id."""
        rows = self._embedding(org_id).rows(
            _SQL["uncached_texts"],
            org_id=org_id,
            ids=list(recipes),
            recipes=list(recipes.values()),
            set_id=set_id,
        )
        return {row["text_hash"]: UncachedText(row["text"], row["recording_id"]) for row in rows}

    def uncached_of(self, org_id: str, set_id: int, hashes: Sequence[str]) -> list[str]:
        """Those of the texts that still have no vector, in their order."""
        values = {"org_id": org_id, "set_id": set_id, "text_hashes": list(hashes)}
        return [row["hash"] for row in self._embedding(org_id).rows(_SQL["uncached_of"], **values)]

    def cache_vectors(
        self,
        org_id: str,
        set_id: int,
        texts: Mapping[str, UncachedText],
        vectors: NDArray[np.float32],
    ) -> None:
        """Keep vectors as soon as they are paid for, whatever becomes of the run; none for a
        recording that was forgotten meanwhile. ``texts`` by hash, a row of ``vectors`` each."""
        keep = partial(
            self._embedding(org_id).run,
            _SQL["cache_vectors"],
            org_id=org_id,
            set_id=set_id,
            text_hashes=list(texts),
            vectors=list(vectors),
            recording_ids=[one.recording_id for one in texts.values()],
        )
        try:
            keep()
        except DatabaseUnavailable:  # went away in the middle; it mostly comes back in seconds
            keep()

    def put_embeddings(
        self, connection: Connection, embedded: Sequence[EmbeddingWrite], set_id: int
    ) -> None:
        """Give every chunk its cached vector: from now on exactly these are searched, and what
        no set searches any more goes. Raises ``ClaimLost`` when the chunks were cut anew
        meanwhile, ``InvalidResult`` if a chunk has no vector."""
        values = _chunked_by_recipe((one.recording, one.chunks.recipe_hash) for one in embedded) | {
            "set_id": set_id,
            "result_ids": [one.result.id for one in embedded],
            "chunks_results": [one.chunks.id for one in embedded],
        }
        for row in connection.execute(_SQL["put_vectors"], values):
            if row["fault"] == _CHUNKED_AGAIN:
                raise ClaimLost(
                    f"The passages of {row['recording_id']} were cut anew.",
                    remedy="Nothing to do: they are embedded next.",
                )
            raise InvalidEngineOutput(
                f"{row['fault']}.", remedy=f"playhead retry {row['recording_id']}"
            )

    def coverage(self, embedded: Sequence[EmbeddingWrite], set_id: int) -> list[Coverage]:
        """How many of each recording's chunks have a vector in the set."""
        cut_by = [(one.recording, one.chunks.recipe_hash) for one in embedded]
        rows = self._rows_of_all("coverage", cut_by, set_id=set_id)
        found = {row.pop("recording_id"): Coverage(**row) for row in rows}
        return [found[one.recording.id] for one in embedded]

    def invalidate_incomplete(self) -> int:
        """Results of any organisation that say done while their content is not whole (a damaged or
        restored database) are no longer done; how many."""
        return self._database.run(_SQL["take_back_partial"])

    def _embedding(self, org_id: str) -> Organisation:
        """Only who makes vectors sees which are kept."""
        return self._database.as_role(org_id, "playhead_pipeline")

    def _rows_of_all(
        self, name: str, cut_by: Sequence[tuple[Recording, str]], **values: Any
    ) -> list[DictRow]:
        [org_id] = {recording.org_id for recording, _ in cut_by}
        read = self._database.as_role(org_id, "playhead_app")
        return read.rows(_SQL[name], **_chunked_by_recipe(cut_by), **values)

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
        if row is None:  # a result that is done has its content as long as its recording is there
            raise RecordingDeleted
        return row


def transcript_of_row(row: Mapping[str, Any]) -> Transcript:
    """From the columns of ``transcripts``, or JSON with their names."""
    return Transcript(
        text=row["text"],
        language=row["language"],
        duration_seconds=row["duration_seconds"],
        words=tuple(Word(one["word"], one["start"], one["end"]) for one in row["words"]),
        segments=tuple(Segment(**segment) for segment in row["segments"]),
        timing=row["timing"],
        error_seconds=row["error_seconds"],
        dropped=tuple(DroppedSpeech(**one) for one in row["dropped"]),
    )


def transcript_hash(transcript: Transcript) -> str:
    """What everything after a transcript depends on."""
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
    """What embedding depends on: the texts, not their places."""
    return content_hash(sorted(_identities(chunks)))


def _chunk_rows(chunks: Sequence[Chunk]) -> Iterator[dict[str, Any]]:
    """By hand: ``asdict`` takes 17 times as long (2.4 ms for 18 chunks of 30 phrases).
    Their text came out of the database, so it can go in."""
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
    """Source, text hash, and the how-manieth chunk of these words it is."""
    seen: Counter[tuple[str, str]] = Counter()
    for chunk in chunks:
        key = (chunk.source, text_hash(chunk.text))
        yield (*key, seen[key])
        seen[key] += 1


def _owned(recording: Recording, result_id: int) -> dict[str, Any]:
    return {"result_id": result_id, "org_id": recording.org_id, "recording_id": recording.id}


def _chunked_by_recipe(cut_by: Iterable[tuple[Recording, str]]) -> dict[str, list[str]]:
    """The values of queries about the chunks of several recordings, each by a recipe."""
    pairs = list(cut_by)
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

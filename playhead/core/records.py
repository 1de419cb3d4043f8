"""The values that cross a border between services: frozen, typed, without behaviour.

Here: what a stage takes and gives (recordings, transcripts, documents, chunks), and the
recipe that names how it was made. Not here: rows (see ``playhead/postgres``), errors
(``playhead/core/errors.py``), anything that does work.

Units everywhere: times and durations in seconds from the start of the recording, sizes
in bytes, positions in characters (Python string indices), sizes of text in tokens of the
embedding model.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, get_args

Kind = Literal["recording", "meeting", "interview", "lecture", "podcast", "book", "page"]
Stage = Literal["raw_media", "transcript", "document", "chunks", "embeddings"]
Source = Literal["transcript", "document"]
#: What tells speakers apart in a file: its audio tracks, the channels of its first, or nothing.
SpeakerSource = Literal["none", "tracks", "channels"]
#: Whose the times of words are: the engine's own, a local model's that heard the same sound, or
#: nobody's: shared out over the stretches where somebody speaks. Best first.
Timing = Literal["native", "aligned", "interpolated"]

KINDS: tuple[Kind, ...] = get_args(Kind)
SOURCES: tuple[Source, ...] = get_args(Source)
STAGES: tuple[Stage, ...] = get_args(Stage)  # in the order data flows
SPEAKERS: tuple[SpeakerSource, ...] = get_args(SpeakerSource)
TIMINGS: tuple[Timing, ...] = get_args(Timing)

Json = Mapping[str, Any]


def content_hash(value: Any) -> str:
    """The sha-256 (64 hex digits) of a JSON value, independent of key order."""
    canonical = json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(canonical.encode("utf-8", "surrogatepass")).hexdigest()


def text_hash(text: str) -> str:
    """The sha-256 (64 hex digits) of a text's UTF-8 bytes."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


@dataclass(frozen=True, slots=True)
class EngineSelection:
    """All that decides which engines serve a recording: whose it is, its kind, and the names of
    those that a person chose for it alone."""

    org_id: str
    kind: Kind
    transcriber: str | None
    writer: str | None


@dataclass(frozen=True, slots=True)
class Recording:
    """One distinct file of an organisation. ``id`` is the Dagster partition key. ``transcriber``
    and ``writer`` name engines that a person chose for it; None: those of the settings."""

    id: str
    org_id: str
    sha256: str
    size_bytes: int
    kind: Kind
    title: str
    language: str | None  # None: detect it
    suffix: str  # of the stored file, ".flac"; "" where the name gave none we know
    transcriber: str | None = None
    writer: str | None = None
    speakers: SpeakerSource = "none"  # what tells them apart

    @property
    def engine_selection(self) -> EngineSelection:
        return EngineSelection(self.org_id, self.kind, self.transcriber, self.writer)


@dataclass(frozen=True, slots=True)
class MediaFacts:
    """What probing found in a file's bytes. ``duration_seconds`` is of decoded audio."""

    container: str
    codec: str
    media_type: str
    sample_rate: int  # Hz
    channels: int
    duration_seconds: float
    streams: tuple[str, ...]  # one readable line a stream, "audio: opus, 48000 Hz, 2 channels"


@dataclass(frozen=True, slots=True)
class Word:
    """A spoken word as it stands in the transcript's text, with its times."""

    word: str
    start: float
    end: float


@dataclass(frozen=True, slots=True)
class Segment:
    """A stretch of speech, usually a sentence or a breath."""

    text: str
    start: float
    end: float
    speaker: str | None = None
    language: str | None = None  # ISO 639-1, where it is not the transcript's


@dataclass(frozen=True, slots=True)
class DroppedSpeech:
    """What an engine said that was not said, or is in doubt, and why it is thought so."""

    text: str
    start: float
    end: float
    reason: str


@dataclass(frozen=True, slots=True)
class Transcript:
    """What was said and when. Every word stands in ``text`` in order; silence gives an
    empty text. Times never decrease and lie in ``[0, duration_seconds]``. ``language`` is the one
    of most speech. No word is off by more than ``error_seconds``; None: as good as the engine's.
    What is ``dropped`` does not stand in the text, unless its reason says so."""

    text: str
    language: str
    duration_seconds: float
    words: tuple[Word, ...]
    segments: tuple[Segment, ...]
    timing: Timing = "native"
    error_seconds: float | None = None
    dropped: tuple[DroppedSpeech, ...] = ()


@dataclass(frozen=True, slots=True)
class TimedSpan:
    """Characters ``[char_start, char_end)`` of a text were said in these seconds."""

    char_start: int
    char_end: int
    start_seconds: float
    end_seconds: float
    speaker: str | None = None


@dataclass(frozen=True, slots=True)
class Document:
    """A write-up of a transcript. ``spans`` tie its characters to seconds, in order of
    ``char_start``; text the writer added itself (headings) has no span."""

    title: str
    content: str
    format: Literal["markdown"]
    spans: tuple[TimedSpan, ...]
    #: JSON. Always has "sections": [{"heading", "start_seconds", "end_seconds"}]; "quotes_from" is
    #: the character from which on it only repeats sentences of the transcript.
    metadata: Json


@dataclass(frozen=True, slots=True)
class ChunkSpan:
    """Where a chunk stood in its source: ``[char_start, char_end)``."""

    text: str
    char_start: int
    char_end: int


@dataclass(frozen=True, slots=True)
class Chunk:
    """A passage to embed. ``source_text[char_start:char_end] == text``, always."""

    source: Source
    text: str
    ordinal: int  # from 0, in order of char_start, within its source
    char_start: int
    char_end: int
    start_seconds: float | None  # None: no character of it has a time
    end_seconds: float | None
    speaker: str | None
    token_count: int
    phrases: tuple[TimedSpan, ...] = ()  # its sentences that have a time, in source characters
    language: str | None = None  # of most of it, where that is not the recording's


@dataclass(frozen=True, slots=True)
class SearchFilter:
    """What may be found: what is empty or None narrows nothing, and all that is given must hold.
    ``speakers``: given names or labels; ``languages``: ISO 639-1; ``since`` (itself too) to
    ``until`` (itself not): when recordings came; ``from_seconds`` to ``to_seconds``: passages that
    touch this stretch of their recording."""

    kinds: tuple[Kind, ...] = ()
    recordings: tuple[str, ...] = ()
    speakers: tuple[str, ...] = ()
    languages: tuple[str, ...] = ()
    source: Source | None = None
    since: datetime | None = None
    until: datetime | None = None
    from_seconds: float | None = None
    to_seconds: float | None = None


NO_FILTER = SearchFilter()


@dataclass(frozen=True, slots=True)
class Engine:
    """Who does a stage's work: enough to tell two results apart. ``model`` names the exact
    weights where they are known, so that other weights are another engine."""

    name: str
    model: str
    parameters: Json = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Recipe:
    """How a stage makes its result. Stored readable, compared by ``hash``."""

    stage: Stage
    code_version: str
    engine: Engine

    @property
    def as_json(self) -> dict[str, Any]:
        return {
            "stage": self.stage,
            "code_version": self.code_version,
            "engine": self.engine.name,
            "model": self.engine.model,
            "parameters": dict(self.engine.parameters),
        }

    @property
    def hash(self) -> str:
        return content_hash(self.as_json)


@dataclass(frozen=True, slots=True)
class Cost:
    """What a result cost: provider tokens and money (US dollars); zero for local engines."""

    tokens: int = 0
    cost_usd: float = 0.0


NO_COST = Cost()


@dataclass(frozen=True, slots=True)
class Price:
    """What an engine's work costs, in US dollars; nothing for local engines. ``patient_share``: of
    that price, for who waits a day."""

    usd_per_call: float = 0.0
    usd_per_million_tokens: float = 0.0
    usd_per_audio_minute: float = 0.0
    batch_discount: float = 1.0

    def of(
        self, *, calls: float, tokens: float, audio_seconds: float, patient: bool = False
    ) -> float:
        at_once = (
            calls * self.usd_per_call
            + tokens / 1_000_000 * self.usd_per_million_tokens
            + audio_seconds / 60 * self.usd_per_audio_minute
        )
        return at_once * self.batch_discount if patient else at_once


FREE = Price()

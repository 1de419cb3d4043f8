"""The values that are passed between services: frozen, typed, without behaviour.

They are the input and output of stages (recordings, transcripts, documents, chunks), and the recipe
that describes how a result was created.

Units: times and durations in seconds from the start of the recording, sizes in bytes, positions in
characters (Python string indices), sizes of text in tokens of the embedding model.
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
#: How speakers are separated in a file: by its audio tracks, by the channels of the first track, or
#: not at all.
SpeakerSource = Literal["none", "tracks", "channels"]
#: Source of word times, best first: the engine's own, aligned with a local model's words for the
#: same audio, or interpolated over the time with speech.
Timing = Literal["native", "aligned", "interpolated"]

KINDS: tuple[Kind, ...] = get_args(Kind)
SOURCES: tuple[Source, ...] = get_args(Source)
STAGES: tuple[Stage, ...] = get_args(Stage)  # in the order data flows
SPEAKERS: tuple[SpeakerSource, ...] = get_args(SpeakerSource)
TIMINGS: tuple[Timing, ...] = get_args(Timing)

Json = Mapping[str, Any]


def content_hash(value: Any) -> str:
    """Return the sha-256 (64 hex digits) of a JSON value, independent of key order."""
    canonical = json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(canonical.encode("utf-8", "surrogatepass")).hexdigest()


def text_hash(text: str) -> str:
    """Return the sha-256 (64 hex digits) of a text's UTF-8 bytes."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


@dataclass(frozen=True, slots=True)
class EngineSelection:
    """The properties of a recording that determine its engines.

    ``transcriber`` and ``writer`` are the names of engines that a person chose for this recording
    alone, or None.
    """

    org_id: str
    kind: Kind
    transcriber: str | None
    writer: str | None


@dataclass(frozen=True, slots=True)
class Recording:
    """One distinct file of an organisation.

    ``partition_key`` names it in Dagster (``core/partition_keys.py``). ``transcriber`` and
    ``writer`` are the names of engines that a person chose for this recording; None means the
    engines of the settings.
    """

    id: str
    org_id: str
    sha256: str
    size_bytes: int
    kind: Kind
    title: str
    language: str | None  # None: detect it
    partition_key: str
    suffix: str  # of the stored file, ".flac"; "" if it is not a known one
    transcriber: str | None = None
    writer: str | None = None
    speakers: SpeakerSource = "none"  # how speakers are separated

    @property
    def engine_selection(self) -> EngineSelection:
        """Return the properties that determine the recording's engines."""
        return EngineSelection(self.org_id, self.kind, self.transcriber, self.writer)


@dataclass(frozen=True, slots=True)
class MediaFacts:
    """The properties of a media file, as found by probing its bytes.

    ``duration_seconds`` is the duration of the decoded audio.
    """

    container: str
    codec: str
    media_type: str
    sample_rate: int  # Hz
    channels: int
    duration_seconds: float
    streams: tuple[str, ...]  # one readable line per stream, "audio: opus, 48000 Hz, 2 channels"


@dataclass(frozen=True, slots=True)
class Word:
    """A spoken word as it is written in the transcript's text, with its times in seconds."""

    word: str
    start: float
    end: float


@dataclass(frozen=True, slots=True)
class Segment:
    """A part of the speech, usually a sentence or the words between two breaths, in seconds."""

    text: str
    start: float
    end: float
    speaker: str | None = None
    language: str | None = None  # ISO 639-1, if it differs from the transcript's


@dataclass(frozen=True, slots=True)
class DroppedSpeech:
    """Words of an engine that were not spoken or are in doubt, with the reason."""

    text: str
    start: float
    end: float
    reason: str


@dataclass(frozen=True, slots=True)
class Transcript:
    """The text of a recording with the times of its words and segments.

    Every word occurs in ``text``, in order; silence gives an empty text. Times never decrease and
    lie in ``[0, duration_seconds]``. ``language`` is the language of the largest share of speech.
    No word is off by more than ``error_seconds``; None means that the times are the engine's own.
    ``dropped`` words are not in the text unless their reason says so.
    """

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
    """Characters ``[char_start, char_end)`` of a text and the seconds in which they were said."""

    char_start: int
    char_end: int
    start_seconds: float
    end_seconds: float
    speaker: str | None = None


@dataclass(frozen=True, slots=True)
class Document:
    """A write-up of a transcript.

    ``spans`` map its characters to seconds, in order of ``char_start``; text that the writer added
    itself (headings) has no span.
    """

    title: str
    content: str
    format: Literal["markdown"]
    spans: tuple[TimedSpan, ...]
    #: JSON. Always has "sections": [{"heading", "start_seconds", "end_seconds"}]; from the
    #: character "quotes_from" on, the content only repeats sentences of the transcript.
    metadata: Json


@dataclass(frozen=True, slots=True)
class ChunkSpan:
    """The position of a chunk in its source: characters ``[char_start, char_end)``."""

    text: str
    char_start: int
    char_end: int


@dataclass(frozen=True, slots=True)
class Chunk:
    """A part of a transcript or document to embed.

    ``source_text[char_start:char_end] == text`` always holds.
    """

    source: Source
    text: str
    ordinal: int  # from 0, in order of char_start, within its source
    char_start: int
    char_end: int
    start_seconds: float | None  # None: no character has a time
    end_seconds: float | None
    speaker: str | None
    token_count: int
    phrases: tuple[TimedSpan, ...] = ()  # sentences with times, in source characters
    language: str | None = None  # main language, if it differs from the recording's


@dataclass(frozen=True, slots=True)
class SearchFilter:
    """Restrictions of a search, all of which must hold; empty fields and None do not restrict.

    ``speakers`` are given names or labels, ``languages`` are ISO 639-1 codes. ``since`` (inclusive)
    and ``until`` (exclusive) limit when recordings were added. ``from_seconds`` and ``to_seconds``
    select chunks that overlap this time range of their recording.
    """

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
    """The identity of an engine, precise enough to tell two results apart.

    ``model`` names the exact weights where they are known, so that other weights are another
    engine.
    """

    name: str
    model: str
    parameters: Json = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Recipe:
    """A description of how a stage creates its result.

    It is stored in readable form and compared by ``hash``.
    """

    stage: Stage
    code_version: str
    engine: Engine

    @property
    def as_json(self) -> dict[str, Any]:
        """Return the recipe as a JSON object."""
        return {
            "stage": self.stage,
            "code_version": self.code_version,
            "engine": self.engine.name,
            "model": self.engine.model,
            "parameters": dict(self.engine.parameters),
        }

    @property
    def hash(self) -> str:
        """Return the sha-256 (64 hex digits) of the recipe."""
        return content_hash(self.as_json)


@dataclass(frozen=True, slots=True)
class Cost:
    """The cost of a result: provider tokens and US dollars; zero for local engines."""

    tokens: int = 0
    cost_usd: float = 0.0


NO_COST = Cost()


@dataclass(frozen=True, slots=True)
class Price:
    """The price of an engine's work, in US dollars; zero for local engines.

    ``batch_discount`` is the factor on that price in batch mode, where results take up to a day.
    """

    usd_per_call: float = 0.0
    usd_per_million_tokens: float = 0.0
    usd_per_audio_minute: float = 0.0
    batch_discount: float = 1.0

    def cost_usd(
        self, *, calls: float, tokens: float, audio_seconds: float, batch: bool = False
    ) -> float:
        """Return the price in US dollars of an amount of work."""
        full_price = (
            calls * self.usd_per_call
            + tokens / 1_000_000 * self.usd_per_million_tokens
            + audio_seconds / 60 * self.usd_per_audio_minute
        )
        return full_price * self.batch_discount if batch else full_price


FREE = Price()

"""Asset checks: conditions that a stage's result must meet, as pure functions of the result.

Each stage runs its checks on the result it created; Dagster shows them per recording. A condition
that must stop the pipeline is not a check but an error raised in the stage.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import dagster as dg

from pipeline_assets.partitions import recordings_partitions
from playhead.core.errors import InvalidEngineOutput
from playhead.core.records import Chunk, Document, MediaFacts, Source, Stage, Transcript
from playhead.postgres.pipeline.content import Coverage
from playhead.transcripts.word_positions import TOLERANCE_SECONDS, check_times


@dataclass(frozen=True, slots=True)
class Check:
    """The result of one check. ``warns``: a failure is a warning, not an error."""

    stage: Stage
    name: str
    passed: bool
    warns: bool = False
    facts: dict[str, Any] = field(default_factory=dict)


DESCRIPTIONS: dict[tuple[Stage, str], str] = {
    ("raw_media", "has_sound"): "The file has a decodable audio track longer than zero seconds.",
    ("transcript", "times_in_order"): "Word times never decrease and lie inside the media.",
    ("transcript", "times_measured"): "Warns if word times were interpolated instead of measured.",
    ("transcript", "has_words"): "Warns if no speech was recognized.",
    (
        "document",
        "quotes_match_document",
    ): "Every timed span lies within the document and the media.",
    ("chunks", "positions_exact"): "The text of every chunk equals its range of the source.",
    ("chunks", "times_within_media"): "The times of every chunk lie within the media.",
    ("embeddings", "every_chunk_has_vector"): "Every chunk has a vector in the embedding set.",
}


def check_specs() -> list[dg.AssetCheckSpec]:
    with warnings.catch_warnings():
        # Partitioned checks are a preview in Dagster 1.13; the version is pinned.
        warnings.simplefilter("ignore", dg.PreviewWarning)
        return [
            dg.AssetCheckSpec(
                name, asset=stage, description=description, partitions_def=recordings_partitions
            )
            for (stage, name), description in DESCRIPTIONS.items()
        ]


def check_media(facts: MediaFacts) -> tuple[Check, ...]:
    duration = {"duration_seconds": facts.duration_seconds}
    return (Check("raw_media", "has_sound", facts.duration_seconds > 0, facts=duration),)


def check_transcript(transcript: Transcript) -> tuple[Check, ...]:
    words = {"words": len(transcript.words)}
    exact = transcript.timing != "interpolated"
    error = {"error_seconds": transcript.error_seconds or 0.0}
    return (
        Check("transcript", "times_in_order", _has_valid_times(transcript), facts=words),
        Check("transcript", "times_measured", exact, warns=True, facts=error),
        Check("transcript", "has_words", bool(transcript.words), warns=True, facts=words),
    )


def check_document(document: Document, duration_seconds: float) -> tuple[Check, ...]:
    within_bounds = all(
        0 <= span.char_start < span.char_end <= len(document.content)
        and 0 <= span.start_seconds <= span.end_seconds <= duration_seconds + TOLERANCE_SECONDS
        for span in document.spans
    )
    return (
        Check(
            "document", "quotes_match_document", within_bounds, facts={"spans": len(document.spans)}
        ),
    )


def check_chunks(
    chunks: Sequence[Chunk], texts: Mapping[Source, str], duration_seconds: float
) -> tuple[Check, ...]:
    """Check that chunks match their source text exactly and lie inside the media.

    ``texts`` holds the full text of each source.
    """
    exact = all(
        texts[chunk.source][chunk.char_start : chunk.char_end] == chunk.text for chunk in chunks
    )
    inside = all(
        chunk.start_seconds is None
        or (
            chunk.end_seconds is not None
            and 0
            <= chunk.start_seconds
            <= chunk.end_seconds
            <= duration_seconds + TOLERANCE_SECONDS
        )
        for chunk in chunks
    )
    count = {"chunks": len(chunks)}
    return (
        Check("chunks", "positions_exact", exact, facts=count),
        Check("chunks", "times_within_media", inside, facts=count),
    )


def check_embeddings(coverage: Coverage) -> tuple[Check, ...]:
    facts = {"vectors": coverage.vectors, "chunks": coverage.chunks}
    complete = coverage.vectors == coverage.chunks
    return (Check("embeddings", "every_chunk_has_vector", complete, facts=facts),)


def check_evaluation(check: Check, partition: str) -> dg.AssetCheckEvaluation:
    return dg.AssetCheckEvaluation(
        asset_key=dg.AssetKey(check.stage),
        check_name=check.name,
        passed=check.passed,
        severity=dg.AssetCheckSeverity.WARN if check.warns else dg.AssetCheckSeverity.ERROR,
        metadata={
            name: dg.MetadataValue.int(fact)
            if isinstance(fact, int)
            else dg.MetadataValue.float(fact)
            for name, fact in check.facts.items()
        },
        partition=partition,
    )


def _has_valid_times(transcript: Transcript) -> bool:
    try:
        check_times(transcript)
    except InvalidEngineOutput:
        return False
    return True

"""``chunks``: transcript and document cut into passages that fit the embedding model."""

from __future__ import annotations

from dataclasses import asdict
from functools import partial
from typing import Any

import dagster as dg

from pipeline_assets import checks
from pipeline_assets.stages import Metadata, Outcome, Turn, claimed, stage_spec, upstream
from pipeline_assets.transforms.chunking import ChunkingConfig, Strategy, chunk
from pipeline_assets.transforms.phrases import spoken_phrases, with_phrases, written_phrases
from resources.clock import clock
from resources.postgres.content import chunks_hash
from resources.records import (
    Chunk,
    Document,
    Engine,
    Recipe,
    Recording,
    Source,
    Transcript,
    Usage,
)
from resources.transcripts.timing import transcript_spans
from resources.workbench import Workbench

CODE_VERSION = "1"
_ROWS_SHOWN = 50

SPEC = stage_spec(
    "chunks",
    after=("transcript", "document"),
    code_version=CODE_VERSION,
    kinds={"python", "postgres"},
    description="Passages of at most the embedding model's window, with exact characters and "
    "seconds. What did not change keeps its id.",
)


def make_chunks(bench: Workbench, recording: Recording, turn: Turn) -> Outcome:
    heard = upstream(bench, recording, "transcript")
    written = upstream(bench, recording, "document")
    transcript = bench.content.transcript(heard.id)
    document = bench.content.document(written.id)
    configs = _configs(bench, recording)
    recipe = Recipe("chunks", CODE_VERSION, _engine(bench, configs))
    inputs = {"transcript": heard.output_hash, "document": written.output_hash}
    with claimed(bench, recording, recipe, inputs, turn, detail="cutting") as claim:
        result = claim.done
        if result is None:
            made = _cut(bench, configs, transcript, document)
            with bench.ledger.finish(claim, output_hash=chunks_hash(made), usage=Usage()) as (
                connection,
                result,
            ):
                bench.ledger.supersede(connection, claim)
                bench.content.put_chunks(
                    connection,
                    result,
                    recording,
                    recipe.hash,
                    made,
                    language=transcript.language,
                )
    rows = bench.content.chunks(recording, recipe.hash)
    texts = {"transcript": transcript.text, "document": document.content}
    return Outcome(
        claim,
        result,
        metadata=_describe(rows),
        checks=checks.of_chunks(rows, texts, transcript.duration_seconds),
    )


def _configs(bench: Workbench, recording: Recording) -> dict[Source, ChunkingConfig]:
    """How each source is cut: as set for the recording's kind, within the model's window."""
    chosen = bench.settings.chunking_of(recording.kind)
    window = bench.engines.embedder.window_tokens

    def config(strategy: Strategy) -> ChunkingConfig:
        return ChunkingConfig(strategy, chosen.size, chosen.overlap, chosen.minimum).capped(window)

    return {"transcript": config(chosen.transcript), "document": config(chosen.document)}


def _engine(bench: Workbench, configs: dict[Source, ChunkingConfig]) -> Engine:
    parameters = {str(source): asdict(config) for source, config in configs.items()}
    return Engine("chunker", f"tokens of {bench.engines.embedder.engine.model}", parameters)


def _cut(
    bench: Workbench,
    configs: dict[Source, ChunkingConfig],
    transcript: Transcript,
    document: Document,
) -> list[Chunk]:
    cut = partial(chunk, tokenizer=bench.engines.embedder.tokenizer, language=transcript.language)
    heard = cut(
        "transcript",
        transcript.text,
        config=configs["transcript"],
        spans=transcript_spans(transcript),
    )
    written = cut("document", document.content, config=configs["document"], spans=document.spans)
    spoken, quoted = spoken_phrases(transcript), written_phrases(document)
    return [
        *(with_phrases(passage, spoken) for passage in heard),
        *(with_phrases(passage, quoted) for passage in written),
    ]


def _describe(rows: list[dict[str, Any]]) -> Metadata:
    shown = [
        dg.TableRecord(
            {
                "source": row["source"],
                "at": clock(row["start_seconds"] or 0.0),
                "tokens": row["token_count"],
                "text": row["text"][:160],
            }
        )
        for row in rows[:_ROWS_SHOWN]
    ]
    return {
        "chunks": len(rows),
        "tokens": sum(row["token_count"] for row in rows),
        "passages": dg.MetadataValue.table(shown) if shown else "none",
    }

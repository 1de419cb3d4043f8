"""``document``: the recording written up, every part tied to its seconds."""

from __future__ import annotations

from dataclasses import asdict

import dagster as dg

from pipeline_assets import checks
from pipeline_assets.stages import (
    Metadata,
    Outcome,
    Turn,
    claimed,
    engine_line,
    stage_spec,
    upstream,
)
from resources.records import Document, Recipe, Recording, content_hash
from resources.workbench import Workbench

CODE_VERSION = "1"

SPEC = stage_spec(
    "document",
    after=("transcript",),
    code_version=CODE_VERSION,
    kinds={"markdown", "postgres"},
    description="Structured Markdown from the transcript, with the recording's title, kind and "
    "duration as context. Every section keeps the time range it came from.",
)


def make_document(bench: Workbench, recording: Recording, turn: Turn) -> Outcome:
    source = upstream(bench, recording, "transcript")
    transcript = bench.content.transcript(source.id)
    engine = bench.engines.writer.engine
    recipe = Recipe("document", CODE_VERSION, engine)
    inputs = {
        "transcript": source.output_hash,
        "title": recording.title,
        "kind": recording.kind,
    }
    with claimed(bench, recording, recipe, inputs, turn, detail="writing") as claim:
        if result := claim.done:
            document = bench.content.document(result.id)
        else:
            document, usage = bench.engines.writer.write(
                transcript, title=recording.title, kind=recording.kind
            )
            output_hash = content_hash(asdict(document))
            with bench.ledger.finish(claim, output_hash=output_hash, usage=usage) as (
                connection,
                result,
            ):
                bench.content.put_document(connection, result, recording, document)
    return Outcome(
        claim,
        result,
        metadata=_describe(document, engine_line(engine)),
        checks=checks.of_document(document, transcript.duration_seconds),
    )


def _describe(document: Document, model: str) -> Metadata:
    return {
        "title": document.title,
        "characters": len(document.content),
        "sections": len(document.metadata["sections"]),
        "model": model,
        "preview": dg.MetadataValue.md(document.content[:4000]),
    }

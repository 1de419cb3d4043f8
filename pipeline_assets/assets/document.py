"""The ``document`` asset: a Markdown document whose parts keep their time ranges."""

from __future__ import annotations

from dataclasses import asdict

import dagster as dg

from pipeline_assets.assets import checks
from pipeline_assets.assets.stage import (
    Metadata,
    RecordingContext,
    StageResult,
    StageTask,
    claim_task,
    format_engine,
    stage_spec,
)
from playhead.core.protocols.writer import Writer
from playhead.core.records import Document, Recipe, content_hash

CODE_VERSION = "1"

SPEC = stage_spec(
    "document",
    after=("transcript",),
    code_version=CODE_VERSION,
    kinds={"markdown", "postgres"},
    description="Structured Markdown from the transcript, with the recording's title, kind and "
    "duration as context. Every section stores its time range in the recording.",
)


def recipe(writer: Writer) -> Recipe:
    return Recipe("document", CODE_VERSION, writer.engine)


def make_document(work: RecordingContext) -> StageResult:
    services, recording = work.services, work.recording
    source = work.upstream("transcript")
    inputs = {
        "transcript": source.output_hash,
        "title": recording.title,
        "kind": recording.kind,
    }
    writer = services.engines.writer_for(recording.engine_selection)
    task = StageTask(work, recipe(writer), inputs)
    with claim_task(task, detail="writing") as claim:
        if claim.done:
            return task.unchanged(claim.done)
        transcript = services.pipeline.content.transcript(recording, source.id)
        document, usage = writer.write(transcript, title=recording.title, kind=recording.kind)
        output_hash = content_hash(asdict(document))
        with services.pipeline.results.finish(claim, output_hash=output_hash, usage=usage) as (
            connection,
            result,
        ):
            services.pipeline.content.put_document(connection, result, recording, document)
    return task.created(
        result,
        _describe(document, format_engine(task.recipe.engine)),
        checks.check_document(document, transcript.duration_seconds),
    )


def _describe(document: Document, model: str) -> Metadata:
    return {
        "title": document.title,
        "characters": len(document.content),
        "sections": len(document.metadata["sections"]),
        "model": model,
        "preview": dg.MetadataValue.md(document.content[:4000]),
    }

"""The ``raw_media`` asset: an uploaded file, checked to be audio that decodes to its end."""

from __future__ import annotations

from pipeline_assets.assets import checks
from pipeline_assets.assets.stage import (
    Metadata,
    RecordingContext,
    StageResult,
    StageTask,
    claim_task,
    stage_spec,
)
from playhead.core.records import Engine, MediaFacts, Recipe, Recording
from playhead.media.probe import probe

CODE_VERSION = "1"

SPEC = stage_spec(
    "raw_media",
    after=(),
    code_version=CODE_VERSION,
    kinds={"python", "postgres"},
    description="The uploaded recording, probed: container, streams and duration; decodable to "
    "16 kHz mono. Files without usable audio fail here with a reason.",
)


RECIPE = Recipe("raw_media", CODE_VERSION, Engine("pyav", "probe"))


def make_raw_media(work: RecordingContext) -> StageResult:
    services, recording = work.services, work.recording
    task = StageTask(work, RECIPE, {"sha256": recording.sha256})
    with claim_task(task, detail="reading the file") as claim:
        if claim.done:
            return task.unchanged(claim.done)
        with services.files.media.open_local(recording) as file:
            facts = probe(file)
        # The hash of the bytes is the output hash, so that a better probe does not make
        # later stages stale.
        with services.pipeline.results.finish(claim, output_hash=recording.sha256) as (
            connection,
            result,
        ):
            services.pipeline.content.put_media_facts(connection, result, recording, facts)
    return task.created(result, _describe(recording, facts), checks.check_media(facts))


def _describe(recording: Recording, facts: MediaFacts) -> Metadata:
    return {
        "kind": recording.kind,
        "sha256": recording.sha256,
        "size_bytes": recording.size_bytes,
        "duration_seconds": facts.duration_seconds,
        "container": facts.container,
        "codec": facts.codec,
        "sample_rate": facts.sample_rate,
        "channels": facts.channels,
        "streams": "; ".join(facts.streams),
    }

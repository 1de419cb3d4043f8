"""The ``transcript`` asset: the spoken text, with a start and end second for every word."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

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
from playhead.core.protocols.transcriber import Transcriber
from playhead.core.records import Recipe, Transcript
from playhead.core.timecode import format_short_timecode, format_timecode
from playhead.postgres.pipeline.content import transcript_hash
from playhead.postgres.pipeline.stage_results import Claim, Result
from playhead.transcripts.word_positions import check_times

CODE_VERSION = "2"
_ROWS_SHOWN = 50

SPEC = stage_spec(
    "transcript",
    after=("raw_media",),
    code_version=CODE_VERSION,
    kinds={"whisper", "postgres"},
    description="Text, language, and a start and end second for every word and segment.",
)


def recipe(transcriber: Transcriber) -> Recipe:
    return Recipe("transcript", CODE_VERSION, transcriber.engine)


def make_transcript(work: RecordingContext) -> StageResult:
    services, recording = work.services, work.recording
    media = work.upstream("raw_media")
    if pinned := _pinned_result(work, media):
        return StageResult(pinned, unchanged=True)
    inputs = {"raw_media": media.output_hash, "language": recording.language}
    if recording.speakers != "none":
        inputs["speakers"] = recording.speakers
    transcriber = services.engines.transcriber_for(recording.engine_selection)
    task = StageTask(work, recipe(transcriber), inputs)
    with claim_task(task, detail="transcribing") as claim:
        if claim.done:
            return task.unchanged(claim.done)
        duration = services.pipeline.content.media_facts(recording, media.id).duration_seconds
        with services.files.media.open_local(recording) as file:
            transcript = transcriber.transcribe(
                file,
                language=recording.language,
                progress=_progress(work, claim, duration),
                speakers=recording.speakers,
                finished=services.pipeline.pieces.of(recording, task.recipe.engine),
            )
        check_times(transcript)
        output_hash = transcript_hash(transcript)
        with services.pipeline.results.finish(claim, output_hash=output_hash) as (
            connection,
            result,
        ):
            services.pipeline.content.put_transcript(connection, result, recording, transcript)
            services.pipeline.pieces.delete(connection, recording)
    return task.created(
        result,
        _describe(transcript, format_engine(task.recipe.engine)),
        checks.check_transcript(transcript),
    )


def _pinned_result(work: RecordingContext, media: Result) -> Result | None:
    """Return the transcript that a person pinned, or None.

    Engines do not replace a pinned transcript of the same media.
    """
    current = work.current_results.get(("transcript", 0))
    if current and current.pinned_by and current.inputs["raw_media"] == media.output_hash:
        return current
    return None


def _progress(work: RecordingContext, claim: Claim, duration: float) -> Callable[[float], None]:
    """Return a callback that stores progress at each percent and logs it at each ten percent."""
    reported = -1

    def progress(seconds: float) -> None:
        nonlocal reported
        work.services.raise_if_stopping()
        percent = min(99, int(100 * seconds / duration)) if duration else 0
        if percent <= reported:
            return
        detail = (
            f"transcribed {format_short_timecode(seconds)} of {format_short_timecode(duration)}"
        )
        work.services.pipeline.results.progress([claim], percent, detail)
        if percent // 10 > reported // 10:
            work.attempt.log(f"{claim.recording.id}: {detail}")
        reported = percent

    return progress


def _describe(transcript: Transcript, model: str) -> Metadata:
    return {
        "language": transcript.language,
        "duration_seconds": transcript.duration_seconds,
        "words": len(transcript.words),
        "segments": len(transcript.segments),
        "speakers": len({segment.speaker for segment in transcript.segments} - {None}),
        "timing": transcript.timing,
        "error_seconds": dg.MetadataValue.float(transcript.error_seconds or 0.0),
        "dropped": _dropped_speech(transcript),
        "model": model,
        "beginning": transcript.text[:500],
    }


def _dropped_speech(transcript: Transcript) -> dg.MetadataValue[Any]:
    """Return a table of the speech that the engine dropped or marked as doubtful."""
    rows = [
        dg.TableRecord(
            {
                "at": format_timecode(dropped.start),
                "text": dropped.text[:160],
                "reason": dropped.reason,
            }
        )
        for dropped in transcript.dropped[:_ROWS_SHOWN]
    ]
    return dg.MetadataValue.table(rows) if rows else dg.MetadataValue.text("nothing")

"""``transcript``: what was said, and the second of every word."""

from __future__ import annotations

from collections.abc import Callable

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
from resources.clock import short_clock
from resources.postgres.ledger import Claim
from resources.records import Recipe, Recording, Transcript, Usage, content_hash
from resources.transcripts.timing import check_times
from resources.workbench import Workbench

CODE_VERSION = "1"

SPEC = stage_spec(
    "transcript",
    after=("raw_media",),
    code_version=CODE_VERSION,
    kinds={"whisper", "postgres"},
    description="Text, language, and a start and end second for every word and segment.",
)


def make_transcript(bench: Workbench, recording: Recording, turn: Turn) -> Outcome:
    media = upstream(bench, recording, "raw_media")
    engine = bench.engines.transcriber.engine
    recipe = Recipe("transcript", CODE_VERSION, engine)
    inputs = {"raw_media": media.output_hash, "language": recording.language}
    with claimed(bench, recording, recipe, inputs, turn, detail="listening") as claim:
        if result := claim.done:
            transcript = bench.content.transcript(result.id)
        else:
            duration = bench.content.media_facts(media.id).duration_seconds
            transcript = bench.engines.transcriber.transcribe(
                bench.media.kept(recording),
                language=recording.language,
                progress=_progress(bench, claim, turn, duration),
            )
            check_times(transcript)
            output_hash = content_hash(_identity(transcript))
            with bench.ledger.finish(claim, output_hash=output_hash, usage=Usage()) as (
                connection,
                result,
            ):
                bench.content.put_transcript(connection, result, recording, transcript)
    return Outcome(
        claim,
        result,
        metadata=_describe(transcript, engine_line(engine)),
        checks=checks.of_transcript(transcript),
    )


def _progress(
    bench: Workbench, claim: Claim, turn: Turn, duration: float
) -> Callable[[float], None]:
    """Tells the ledger whenever another percent is through, and the run's log every tenth."""
    told = -1

    def progress(seconds: float) -> None:
        nonlocal told
        bench.keep_on()
        percent = min(99, int(100 * seconds / duration)) if duration else 0
        if percent <= told:
            return
        detail = f"transcribed {short_clock(seconds)} of {short_clock(duration)}"
        bench.ledger.progress(claim, percent, detail)
        if percent // 10 > told // 10:
            turn.log(f"{claim.recording.title}: {detail}")
        told = percent

    return progress


def _identity(transcript: Transcript) -> list[object]:
    return [
        transcript.text,
        transcript.language,
        [[word.word, word.start, word.end] for word in transcript.words],
        [[part.text, part.start, part.end, part.speaker] for part in transcript.segments],
    ]


def _describe(transcript: Transcript, model: str) -> Metadata:
    return {
        "language": transcript.language,
        "duration_seconds": transcript.duration_seconds,
        "words": len(transcript.words),
        "segments": len(transcript.segments),
        "model": model,
        "beginning": transcript.text[:500],
    }

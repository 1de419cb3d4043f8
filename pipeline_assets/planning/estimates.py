"""Estimate the calls, tokens, money and time that a rebuild takes.

Sizes are averages of recent recordings, times those of recent results.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from pipeline_assets.assets.desired_recipes import changed_parts
from playhead.core.records import FREE, Recipe, Stage
from playhead.postgres.pipeline.plans import Averages, DesiredRecipe, Difference, Reason
from playhead.services.context import PipelineServices

#: What is left alone until a person acts.
UNPLANNED_REASONS: frozenset[Reason] = frozenset({"failed", "chosen"})


@dataclass(frozen=True, slots=True)
class EstimateLine:
    """One difference and its estimated cost.

    ``moved``: the parts of the recipe that changed. ``seconds``: of one worker; None if no
    comparable result exists yet. For the reason ``follows`` all numbers are upper bounds.
    """

    stage: Stage
    set: int | None
    reason: Reason
    moved: tuple[str, ...]
    recordings: int
    calls: int
    tokens: int
    usd: float
    seconds: float | None


def price_lines(
    services: PipelineServices,
    differences: Sequence[Difference],
    wanted: Sequence[DesiredRecipe],
    *,
    patient: bool = False,
) -> list[EstimateLine]:
    """Return one line per stage, set, reason and changed parts.

    In batch mode the discounted price applies.
    """
    averages, pace = (
        services.pipeline.plans.averages(),
        services.pipeline.plans.seconds_per_recording(),
    )
    recipes = {one.recipe.hash: one for one in wanted}
    lines: dict[tuple[object, ...], EstimateLine] = {}
    for one in differences:
        line = _estimate_line(one, recipes.get(one.wanted or ""), averages, pace, patient)
        key = (line.stage, line.set, line.reason, line.moved)
        lines[key] = _sum(lines[key], line) if key in lines else line
    return list(lines.values())


def total_usd(lines: Sequence[EstimateLine]) -> float:
    return round(sum(line.usd for line in lines), 6)


def _estimate_line(
    one: Difference,
    wanted: DesiredRecipe | None,
    averages: Averages,
    pace: Mapping[tuple[Stage, str], float],
    patient: bool,
) -> EstimateLine:
    count = 0 if one.reason in UNPLANNED_REASONS else one.recordings
    calls, tokens = _calls(one.stage, averages, count), _tokens(one.stage, averages, count)
    usd = (wanted.price if wanted else FREE).of(
        calls=calls,
        tokens=tokens,
        audio_seconds=one.audio_seconds if count else 0.0,
        patient=patient,
    )
    recipe = wanted.recipe if wanted else None
    seconds = _seconds_per_recording(one.stage, recipe, pace)
    compared = recipe if one.reason == "stale" else None
    return EstimateLine(
        stage=one.stage,
        set=one.set_id or None,
        reason=one.reason,
        moved=changed_parts(one.recipe, compared.as_json) if one.recipe and compared else (),
        recordings=one.recordings,
        calls=round(calls),
        tokens=round(tokens),
        usd=round(usd, 6),
        seconds=None if seconds is None else round(count * seconds, 1),
    )


def _sum(one: EstimateLine, other: EstimateLine) -> EstimateLine:
    known = one.seconds is not None and other.seconds is not None
    return replace(
        one,
        recordings=one.recordings + other.recordings,
        calls=one.calls + other.calls,
        tokens=one.tokens + other.tokens,
        usd=one.usd + other.usd,
        seconds=(one.seconds or 0.0) + (other.seconds or 0.0) if known else None,
    )


def _calls(stage: Stage, averages: Averages, count: int) -> float:
    """Return the number of model calls.

    Transcripts and documents take one call per recording; the chunks of a recording are embedded
    together.
    """
    if stage == "embeddings":
        return count * averages.embedder_calls
    return float(count) if stage in ("transcript", "document") else 0.0


def _tokens(stage: Stage, averages: Averages, count: int) -> float:
    return count * averages.tokens if stage in ("document", "embeddings") else 0.0


def _seconds_per_recording(
    stage: Stage, wanted: Recipe | None, pace: Mapping[tuple[Stage, str], float]
) -> float | None:
    """Return seconds per recording with this recipe, or None if nothing is known.

    A new recipe gets the average of all recipes of the stage.
    """
    if wanted and (stage, wanted.hash) in pace:
        return pace[stage, wanted.hash]
    alike = [seconds for (made, _), seconds in pace.items() if made == stage]
    return sum(alike) / len(alike) if alike else None

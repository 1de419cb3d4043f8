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

#: Reasons that no plan covers: a person has to act.
UNPLANNED_REASONS: frozenset[Reason] = frozenset({"failed", "pinned"})


@dataclass(frozen=True, slots=True)
class EstimateLine:
    """One difference and its estimated cost.

    ``moved``: the parts of the recipe that changed. ``seconds``: of one worker; None if no
    comparable result exists yet. For the reason ``downstream`` all numbers are upper bounds.
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
    desired_recipes: Sequence[DesiredRecipe],
    *,
    batch: bool = False,
) -> list[EstimateLine]:
    """Return one line per stage, set, reason and changed parts.

    In batch mode the discounted price applies.
    """
    averages, durations = (
        services.pipeline.plans.averages(),
        services.pipeline.plans.seconds_per_recording(),
    )
    recipes = {desired_recipe.recipe.hash: desired_recipe for desired_recipe in desired_recipes}
    lines: dict[tuple[object, ...], EstimateLine] = {}
    for difference in differences:
        line = _estimate_line(
            difference, recipes.get(difference.wanted or ""), averages, durations, batch
        )
        key = (line.stage, line.set, line.reason, line.moved)
        lines[key] = _sum(lines[key], line) if key in lines else line
    return list(lines.values())


def total_usd(lines: Sequence[EstimateLine]) -> float:
    return round(sum(line.usd for line in lines), 6)


def _estimate_line(
    difference: Difference,
    desired_recipe: DesiredRecipe | None,
    averages: Averages,
    durations: Mapping[tuple[Stage, str], float],
    batch: bool,
) -> EstimateLine:
    count = 0 if difference.reason in UNPLANNED_REASONS else difference.recordings
    calls, tokens = (
        _calls(difference.stage, averages, count),
        _tokens(difference.stage, averages, count),
    )
    usd = (desired_recipe.price if desired_recipe else FREE).cost_usd(
        calls=calls,
        tokens=tokens,
        audio_seconds=difference.audio_seconds if count else 0.0,
        batch=batch,
    )
    recipe = desired_recipe.recipe if desired_recipe else None
    seconds = _seconds_per_recording(difference.stage, recipe, durations)
    compared = recipe if difference.reason == "stale" else None
    return EstimateLine(
        stage=difference.stage,
        set=difference.set_id or None,
        reason=difference.reason,
        moved=changed_parts(difference.recipe, compared.as_json)
        if difference.recipe and compared
        else (),
        recordings=difference.recordings,
        calls=round(calls),
        tokens=round(tokens),
        usd=round(usd, 6),
        seconds=None if seconds is None else round(count * seconds, 1),
    )


def _sum(estimate_line: EstimateLine, other: EstimateLine) -> EstimateLine:
    known = estimate_line.seconds is not None and other.seconds is not None
    return replace(
        estimate_line,
        recordings=estimate_line.recordings + other.recordings,
        calls=estimate_line.calls + other.calls,
        tokens=estimate_line.tokens + other.tokens,
        usd=estimate_line.usd + other.usd,
        seconds=(estimate_line.seconds or 0.0) + (other.seconds or 0.0) if known else None,
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
    stage: Stage, recipe: Recipe | None, durations: Mapping[tuple[Stage, str], float]
) -> float | None:
    """Return seconds per recording with this recipe, or None if nothing is known.

    A new recipe gets the average of all recipes of the stage.
    """
    if recipe and (stage, recipe.hash) in durations:
        return durations[stage, recipe.hash]
    known_seconds = [seconds for (of_stage, _), seconds in durations.items() if of_stage == stage]
    return sum(known_seconds) / len(known_seconds) if known_seconds else None

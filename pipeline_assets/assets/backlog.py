"""The ``backlog`` asset: how many recordings wait at each stage, and since when.

Unpartitioned, so that a freshness policy can watch it (Dagster's freshness policies do not support
partitions).
"""

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta

import dagster as dg

from pipeline_assets.assets.desired_recipes import desired_recipes
from pipeline_assets.policies import GROUP, OWNERS
from playhead.core.model_deprecations import ERROR_DAYS, WARN_DAYS, days_left
from playhead.services.context import PipelineServices

_STALE_AFTER = timedelta(hours=2)


@dg.asset(
    group_name=GROUP,
    owners=OWNERS,
    kinds={"postgres"},
    freshness_policy=dg.FreshnessPolicy.time_window(fail_window=_STALE_AFTER),
    description="Number of recordings that are pending at each stage, and the age of the oldest.",
)
def backlog(playhead: dg.ResourceParam[PipelineServices]) -> dg.MaterializeResult[None]:
    waiting = playhead.pipeline.recordings.backlog()
    dead_letters = playhead.pipeline.recordings.dead_letters()
    now = datetime.now(UTC)
    oldest = max(((now - stage.oldest).total_seconds() for stage in waiting), default=0.0)
    return dg.MaterializeResult(
        metadata={
            "waiting": sum(stage.recordings for stage in waiting),
            "failed": len(dead_letters),
            "oldest_seconds": round(oldest, 1),
            **{f"waiting_for_{stage.stage}": stage.recordings for stage in waiting},
        },
    )


@dg.asset_check(
    asset=backlog,
    description="Warns if a model in use is shut down within 60 days; fails within 14 days.",
)
def no_model_near_shutdown(playhead: dg.ResourceParam[PipelineServices]) -> dg.AssetCheckResult:
    return model_check_result(_models_in_use(playhead), datetime.now(UTC).date())


def model_check_result(models: Sequence[str], today: date) -> dg.AssetCheckResult:
    """Return a check result that warns 60 days before a model in use shuts down.

    Within 14 days of the shutdown the severity is ERROR.
    """
    days_by_model = {
        model: days for model in models if (days := days_left(model, today)) is not None
    }
    soonest = min(days_by_model.values(), default=WARN_DAYS + 1)
    return dg.AssetCheckResult(
        passed=soonest > WARN_DAYS,
        severity=dg.AssetCheckSeverity.ERROR
        if soonest <= ERROR_DAYS
        else dg.AssetCheckSeverity.WARN,
        metadata={
            f"days left of {model}": dg.MetadataValue.int(days)
            for model, days in days_by_model.items()
        },
    )


def _models_in_use(services: PipelineServices) -> list[str]:
    """Return the models of the default engines, the desired recipes and the live sets."""
    engines = [services.engines.transcriber.engine, services.engines.writer.engine]
    engines += [desired_recipe.recipe.engine for desired_recipe in desired_recipes(services)]
    sets = [
        str(embedding_set.engine["model"])
        for embedding_set in services.search.embedding_sets.live()
    ]
    return sorted({*(engine.model for engine in engines), *sets})

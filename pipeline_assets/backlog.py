"""``backlog``: what waits at each stage and since when. Unpartitioned, so that a freshness
policy can watch it (policies know no partitions)."""

from datetime import UTC, datetime, timedelta

import dagster as dg

from pipeline_assets.policies import GROUP, OWNERS
from resources.workbench import Workbench

_STALE_AFTER = timedelta(hours=2)


@dg.asset(
    group_name=GROUP,
    owners=OWNERS,
    kinds={"postgres"},
    freshness_policy=dg.FreshnessPolicy.time_window(fail_window=_STALE_AFTER),
    description="How many recordings wait for each stage, and the age of the oldest.",
)
def backlog(workbench: dg.ResourceParam[Workbench]) -> dg.MaterializeResult[None]:
    waiting = workbench.catalogue.backlog()
    letters = workbench.catalogue.dead_letters()
    now = datetime.now(UTC)
    oldest = max(((now - stage.oldest).total_seconds() for stage in waiting), default=0.0)
    return dg.MaterializeResult(
        metadata={
            "waiting": sum(stage.recordings for stage in waiting),
            "failed": len(letters),
            "oldest_seconds": round(oldest, 1),
            **{f"waiting_for_{stage.stage}": stage.recordings for stage in waiting},
        }
    )

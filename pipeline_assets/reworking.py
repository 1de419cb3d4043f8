"""Plans at work: which recordings an open plan takes next, in runs of low priority.

Used by the sensor and by ``process.py``. Not here: what differs and what it would cost
(``wanted.py``, ``estimates.py``).
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

from pipeline_assets.policies import PLANNED_AHEAD
from pipeline_assets.requests import RunPlan, plan_runs
from pipeline_assets.wanted import wanted_now
from resources.workbench import Workbench


def planned_runs(
    bench: Workbench, keys: Sequence[str], busy: Collection[str] = ()
) -> Iterator[RunPlan]:
    """Runs for the open plans, the oldest plan first; noted as asked for before they are given.
    ``keys``: all partition keys in Dagster's order; ``busy``: those that a run is at."""
    plans = bench.plans.under_way()
    if not plans or len(busy) >= PLANNED_AHEAD:
        return
    wanted, known = wanted_now(bench), set(keys)
    for plan in plans:
        batch = bench.plans.batch(plan, wanted, PLANNED_AHEAD)
        free = [one for one in batch if one.id in known and one.id not in busy]
        for run in plan_runs(free, keys, plan):
            bench.catalogue.requested(run.ids)
            yield run
        if batch:
            bench.plans.move_on(plan, batch)
            return

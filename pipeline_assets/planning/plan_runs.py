"""Choose the recordings that open plans rebuild next, in runs of low priority.

Used by the sensor (``sensors/rebuild_plans.py``) and by the in-process runner.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

from pipeline_assets.assets.desired_recipes import desired_recipes
from pipeline_assets.policies import PLANNED_RECORDINGS, RECORDINGS_PER_RUN
from pipeline_assets.runs import RunSpec, group_into_runs
from playhead.core.records import Recording
from playhead.postgres.pipeline.plans import Plan
from playhead.services.context import PipelineServices


def run_requests_for_plans(
    services: PipelineServices, keys: Sequence[str], busy: Collection[str] = ()
) -> Iterator[RunSpec]:
    """Yield runs for the open plans, the oldest plan first.

    ``keys`` holds all partition keys in Dagster's order, ``busy`` those that a run is processing.
    The caller marks the recordings as requested.
    """
    plans = services.pipeline.plans.under_way()
    if not plans or len(busy) >= PLANNED_RECORDINGS:
        return
    recipes, known = desired_recipes(services), set(keys)
    for plan in plans:
        batch = services.pipeline.plans.batch(plan, recipes, PLANNED_RECORDINGS)
        free = [recording for recording in batch if recording.partition_key not in busy]
        present = [recording for recording in free if recording.partition_key in known]
        archived = [recording for recording in free if recording.partition_key not in known]
        yield from group_into_runs(present, keys, plan)
        yield from _archived_runs(archived, plan)
        if batch:
            services.pipeline.plans.advance_cursor(plan, batch)
            return


def _archived_runs(recordings: Sequence[Recording], plan: Plan) -> Iterator[RunSpec]:
    """Yield runs for archived recordings, which have no partitions."""
    for start in range(0, len(recordings), RECORDINGS_PER_RUN):
        group = recordings[start : start + RECORDINGS_PER_RUN]
        yield RunSpec(tuple(group), plan, archived=True)

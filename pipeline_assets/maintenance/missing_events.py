"""Untold: results that the ledger has and Dagster was never told of, told now.

A result is stored first and told to Dagster after, and a worker may be killed between. Here: the
comparison and the telling, for a run whose worker died and for all. Not here: who notices the
death (``orphans.py``, ``sensors/run_failures.py``).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import islice

import dagster as dg

from pipeline_assets.assets.events import made_by, versions
from pipeline_assets.runs import covered
from playhead.core.records import STAGES
from playhead.postgres.pipeline.result_audit import ResultAudit, StoredResult

_AT_ONCE = 1000


def tell_untold_of_run(
    instance: dg.DagsterInstance, audit: ResultAudit, run: dg.DagsterRun, keys: Sequence[str]
) -> int:
    """Tell what this run made and did not come to tell; how many results. ``keys``: all partition
    keys in Dagster's order."""
    told = instance.get_asset_partitions_for_run(
        run.run_id, dg.DagsterEventType.ASSET_MATERIALIZATION
    )
    made = audit.results(sorted(covered(run.tags, keys)), STAGES)
    return _tell(
        instance,
        (
            result
            for result in made
            if result.run_id == run.run_id
            and result.recording_id not in told.get(dg.AssetKey(result.stage), ())
        ),
    )


def tell_untold(instance: dg.DagsterInstance, audit: ResultAudit) -> int:
    """Tell all results of recordings whose stage has no materialisation at all; how many."""
    count = 0
    for stage in STAGES:
        told = instance.get_materialized_partitions(dg.AssetKey(stage))
        untold = iter(sorted(audit.made(stage) - told))
        while ids := list(islice(untold, _AT_ONCE)):
            count += _tell(instance, audit.results(ids, [stage]))
    return count


def _tell(instance: dg.DagsterInstance, results: Iterable[StoredResult]) -> int:
    count = 0
    for result in results:
        instance.report_runless_asset_event(_materialisation(result))
        count += 1
    return count


def _materialisation(result: StoredResult) -> dg.AssetMaterialization:
    return dg.AssetMaterialization(
        result.stage,
        partition=result.recording_id,
        description="Told late: its worker died before it came to it.",
        metadata={
            "title": result.title,
            "result": result.result_id,
            "attempt": result.attempt,
            "made_by_run": made_by(result.run_id),
            "made_from": dg.MetadataValue.json(dict(result.inputs)),
        },
        tags=versions(result.code_version, result.output_hash, result.inputs),
    )

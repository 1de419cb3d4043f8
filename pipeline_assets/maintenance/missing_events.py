"""Report results whose Dagster event was lost.

A result is stored first and reported to Dagster afterwards; a worker may be killed in between.
Callers are ``orphaned_runs.py``, ``sensors/run_failures.py`` and the nightly reconcile job.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import islice

import dagster as dg

from pipeline_assets.assets.events import data_version_tags, lineage_entry, run_link
from pipeline_assets.runs import partition_keys_of
from playhead.core.records import STAGES
from playhead.postgres.pipeline.result_audit import ResultAudit, StoredResult

_RESULTS_PER_BATCH = 1000


def report_missing_events_for_run(
    instance: dg.DagsterInstance, audit: ResultAudit, run: dg.DagsterRun, keys: Sequence[str]
) -> int:
    """Report the run's unreported results and return their number.

    ``keys`` holds all partition keys in Dagster's order.
    """
    reported = instance.get_asset_partitions_for_run(
        run.run_id, dg.DagsterEventType.ASSET_MATERIALIZATION
    )
    results = audit.results(sorted(partition_keys_of(run.tags, keys)), STAGES)
    return _log_materializations(
        instance,
        (
            result
            for result in results
            if result.run_id == run.run_id
            and result.partition_key not in reported.get(dg.AssetKey(result.stage), ())
        ),
    )


def report_missing_events(instance: dg.DagsterInstance, audit: ResultAudit) -> int:
    """Report the results of all partitions without a materialisation and return their number."""
    count = 0
    for stage in STAGES:
        reported = instance.get_materialized_partitions(dg.AssetKey(stage))
        unreported = iter(sorted(audit.created(stage) - reported))
        while keys := list(islice(unreported, _RESULTS_PER_BATCH)):
            count += _log_materializations(instance, audit.results(keys, [stage]))
    return count


def _log_materializations(instance: dg.DagsterInstance, results: Iterable[StoredResult]) -> int:
    count = 0
    for result in results:
        instance.report_runless_asset_event(_materialization(result))
        count += 1
    return count


def _materialization(result: StoredResult) -> dg.AssetMaterialization:
    return dg.AssetMaterialization(
        result.stage,
        partition=result.partition_key,
        description="Reported late: the worker died before it could report this result.",
        metadata={
            "title": result.title,
            "run": run_link(result.run_id),
            "lineage": lineage_entry(
                result.result_id, result.attempt, result.inputs, result.recipe
            ),
        },
        tags=data_version_tags(
            str(result.recipe["code_version"]), result.output_hash, result.inputs
        ),
    )

"""Prune Dagster's history that is older than the policy.

Works in batches, for a limited time per night. Each partition keeps the events that show it as
materialised or failed. Deletions of recordings that were interrupted are finished, too.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import dagster as dg

from pipeline_assets.maintenance.delete_recording import delete_run_files, finish_deletion
from pipeline_assets.policies import (
    CHECKS_PER_BATCH,
    HISTORY_DAYS,
    MAX_PRUNING_SECONDS,
    RUNS_PER_BATCH,
)
from playhead.core.settings import Settings
from playhead.postgres.dagster_db.pruning import DagsterPruning, PruneResult
from playhead.postgres.database_urls import dagster_tables_url
from playhead.services.context import PipelineServices


@dg.op(out=dg.Out(dg.Nothing), description=__doc__)
def prune(
    context: dg.OpExecutionContext, playhead: dg.ResourceParam[PipelineServices]
) -> Iterator[dg.Output[None]]:
    if unfinished := playhead.deletion.unfinished():
        report = finish_deletion(playhead, context.instance, unfinished)
        context.log.info(f"Scanned for {len(unfinished)} deleted recordings; found: {report.found}")
    playhead.provider_use.batches.prune()
    events, runs = prune_history(context.instance, playhead.settings, datetime.now(UTC))
    context.log.info(f"{events} rows of events and checks and {runs} runs were pruned.")
    yield dg.Output(None)


@dataclass(frozen=True, slots=True)
class PruneLimits:
    """Sizes of the transactions, and the time after which the rest waits for the next night."""

    runs_per_batch: int = RUNS_PER_BATCH
    checks_per_batch: int = CHECKS_PER_BATCH
    max_seconds: float = MAX_PRUNING_SECONDS


def prune_history(
    instance: dg.DagsterInstance,
    settings: Settings,
    now: datetime,
    limits: PruneLimits | None = None,
) -> tuple[int, int]:
    """Delete old events, checks and runs, and return the numbers of deleted rows and runs."""
    before = now - timedelta(days=HISTORY_DAYS)
    history = DagsterPruning(dagster_tables_url(settings), before)
    rows, runs = history.prune_backfills(), 0
    for pruned in _batches(history, limits or PruneLimits()):
        rows, runs = rows + pruned.events, runs + len(pruned.runs)
        for run_id in pruned.runs:
            delete_run_files(instance, run_id)
    return rows, runs


def _batches(history: DagsterPruning, limits: PruneLimits) -> Iterator[PruneResult]:
    deadline = time.monotonic() + limits.max_seconds
    for prune_batch, size in (
        (history.prune_runs, limits.runs_per_batch),
        (history.prune_checks, limits.checks_per_batch),
    ):
        more = True
        while more and time.monotonic() < deadline:
            pruned = prune_batch(size)
            more = pruned.more
            yield pruned

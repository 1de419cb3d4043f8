"""Stages that process several recordings with one claim and one transaction.

Used for stages whose computation is small compared with the cost of writing the result.

A batch succeeds or fails as a whole. If any task fails, all of them run again one at a time, so
that each error belongs to its own recording. Tasks also run one at a time if another worker holds
them, if several workers crashed on them (one of them may be the cause), and in batch mode, where
each recording waits for its own provider responses.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

from pipeline_assets.assets.stage import (
    RecordingContext,
    StageOutcome,
    StageResult,
    StageTask,
    call_context_for,
    capture_error,
    claim_task,
)
from playhead.core.call_context import call_context
from playhead.core.errors import Parked, PlayheadError, WorkerStopping
from playhead.postgres.pipeline.stage_results import Claim
from playhead.services.context import EmbeddingTarget

ClaimedTasks = Sequence[tuple[StageTask, Claim]]
_IndexedTask = tuple[int, StageTask]


@dataclass(frozen=True, slots=True)
class BatchStage:
    """A stage that processes tasks in batches.

    ``group_targets`` groups a recording's embedding targets by the result they share, the active
    set's group first. ``build_task`` raises ``MissingUpstream``. ``process`` receives tasks of one
    organisation and of the same embedding sets.
    """

    detail: str
    group_targets: Callable[[RecordingContext], Sequence[Sequence[EmbeddingTarget]]]
    build_task: Callable[[RecordingContext, Sequence[EmbeddingTarget]], StageTask]
    process: Callable[[ClaimedTasks], list[StageResult]]

    def run(self, works: Sequence[RecordingContext]) -> list[StageOutcome]:
        """Run the stage for each recording and return its outcome for the active embedding set.

        An error for a set that is not searched yet is stored with the result and logged; it does
        not stop the recording.
        """
        groups = [capture_error(self.group_targets, work) for work in works]
        outcomes = self._run_all(
            [
                (work, group if isinstance(group, PlayheadError) else group[0])
                for work, group in zip(works, groups, strict=True)
            ]
        )
        remaining = [
            (work, targets)
            for work, group, result in zip(works, groups, outcomes, strict=True)
            if isinstance(result, StageResult) and not isinstance(group, PlayheadError)
            for targets in group[1:]
        ]
        for (work, targets), result in zip(remaining, self._run_all(remaining), strict=True):
            if isinstance(result, PlayheadError):
                names = ", ".join(f"set {target.embedding_set.id}" for target in targets)
                work.attempt.log(f"{work.recording.id}, {names}: {result} {result.remedy}")
        return outcomes

    def _run_all(
        self, requests: Sequence[tuple[RecordingContext, Sequence[EmbeddingTarget] | PlayheadError]]
    ) -> list[StageOutcome]:
        tasks = [
            targets
            if isinstance(targets, PlayheadError)
            else capture_error(self.build_task, work, targets)
            for work, targets in requests
        ]
        outcomes: dict[int, StageOutcome] = {}
        ready = [(number, task) for number, task in enumerate(tasks) if isinstance(task, StageTask)]
        for _, group in groupby(
            sorted(ready, key=_lock_order), key=lambda entry: _lock_order(entry)[:2]
        ):
            outcomes |= self._run_group(list(group))
        return [
            outcomes[i] if isinstance(task, StageTask) else task for i, task in enumerate(tasks)
        ]

    def _run_group(self, tasks: Sequence[_IndexedTask]) -> dict[int, StageOutcome]:
        outcomes: dict[int, StageOutcome] = {
            number: task.unchanged(current) for number, task in tasks if (current := task.current)
        }
        pending = [(number, task) for number, task in tasks if number not in outcomes]
        batchable = [(number, task) for number, task in pending if not task.context.batch]
        if len(batchable) > 1:
            outcomes |= self._run_batch(batchable)
        for number, task in pending:
            if number not in outcomes:
                outcomes[number] = capture_error(self._run_single, task)
        return outcomes

    def _run_batch(self, tasks: Sequence[_IndexedTask]) -> Mapping[int, StageResult]:
        """Return the outcomes of the claimed tasks, or nothing if any of them fails."""
        attempt, results = (
            tasks[0][1].context.attempt,
            tasks[0][1].context.services.pipeline.results,
        )
        keys = [task.key for _, task in tasks]
        try:
            with results.try_claim_many(keys, run_id=attempt.run_id, detail=self.detail) as claims:
                claimed = [
                    (*task, claim) for task, claim in zip(tasks, claims, strict=True) if claim
                ]
                unfinished = [entry for entry in claimed if not entry[2].done]
                created = self._process([entry[1:] for entry in unfinished]) if unfinished else []
        except WorkerStopping:
            raise
        except Exception:  # the failing task fails again, alone, and is reported there
            return {}
        unchanged = {
            number: task.unchanged(claim.done) for number, task, claim in claimed if claim.done
        }
        return unchanged | {
            entry[0]: outcome for entry, outcome in zip(unfinished, created, strict=True)
        }

    def _process(self, claimed: ClaimedTasks) -> list[StageResult]:
        try:
            with call_context(call_context_for([task for task, _ in claimed])):
                return self.process(claimed)
        except Parked:  # a single task may fit where the batch does not
            claims = [claim for _, claim in claimed]
            claimed[0][0].context.services.pipeline.results.release(claims)
            raise

    def _run_single(self, task: StageTask) -> StageResult:
        with claim_task(task, detail=self.detail) as claim:
            if claim.done:
                return task.unchanged(claim.done)
            [outcome] = self.process([(task, claim)])
        return outcome


def _lock_order(indexed_task: _IndexedTask) -> tuple[str, tuple[int, ...], str]:
    """Return the sort key by which all workers claim tasks.

    The common order prevents two workers with the same recordings from deadlocking.
    """
    _, task = indexed_task
    return task.context.recording.org_id, task.sets, task.context.recording.id

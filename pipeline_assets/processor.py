"""The processor: makes runs over what waits, in this process, through Dagster.

Here: grouping, one run at a time, and its end from outside. Not here: when to look
(``worker.py``), the command line (``process.py``), what a run does (``recordings.py``).
"""

from __future__ import annotations

import os
import sys
import threading
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

import dagster as dg

from pipeline_assets.partitions import recordings_partitions
from pipeline_assets.policies import RECORDINGS_A_RUN
from pipeline_assets.requests import NOT_RETRIED, RunPlan, new_keys, plan_runs
from resources.dagster_instance import DATABASE_AWAY
from resources.records import Recording
from resources.workbench import Workbench

_LOOK_SECONDS = 1.0  # at another worker's progress
_WATCH_SECONDS = 2.0  # how soon a run that somebody ended stops
_STUBBORN_SECONDS = 60.0  # then the whole process ends: what it holds must come free
_ENDED = (
    dg.DagsterRunStatus.CANCELING,
    dg.DagsterRunStatus.CANCELED,
    dg.DagsterRunStatus.FAILURE,
)
_QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


class Processor:
    """``handled``: what ``work`` took up, by id. ``leaving``: set by ``leave``, from any thread.
    ``working``: set while there is progress to look at."""

    def __init__(
        self, bench: Workbench, instance: dg.DagsterInstance, job: dg.JobDefinition
    ) -> None:
        self.handled: set[str] = set()
        self.leaving = threading.Event()
        self.working = threading.Event()
        self._bench = bench
        self._instance = instance
        self._job = job

    def leave(self) -> None:
        """Have the run under way handed back, and begin no other."""
        self.leaving.set()
        self._bench.stopping.set()

    def work(self, only: Sequence[str] | None) -> None:
        """Run every waiting recording once; of ``only``, also see those through that another
        worker holds."""
        self.working.set()
        while (waiting := self._waiting(only)) or self._elsewhere(only):
            self.handled.update(recording.id for recording in waiting)
            self._make_runs(waiting)

    def work_off(self) -> None:
        """Run what waits until nothing does; what a run brought no further is left for the same
        growing pauses as the sensor makes."""
        catalogue = self._bench.catalogue
        while not self.leaving.is_set() and (
            waiting := catalogue.waiting(limit=RECORDINGS_A_RUN, unrequested=True)
        ):
            self.working.set()
            self._make_runs(waiting)
        self.working.clear()

    def _make_runs(self, waiting: Sequence[Recording]) -> None:
        for plan in self._plans(waiting):
            self._run(plan)

    def _waiting(self, only: Sequence[str] | None) -> list[Recording]:
        if self.leaving.is_set():
            return []
        return self._bench.catalogue.waiting(
            limit=RECORDINGS_A_RUN, only=only, besides=self.handled
        )

    def _elsewhere(self, only: Sequence[str] | None) -> bool:
        """Whether to look again in a while, since another worker is at it."""
        if only is None or self.leaving.is_set():
            return False
        statuses = self._bench.catalogue.statuses(None, only)
        busy = any(status.live for status in statuses)
        return busy and not self.leaving.wait(_LOOK_SECONDS)

    def _plans(self, waiting: Sequence[Recording]) -> Iterator[RunPlan]:
        name = recordings_partitions.name
        assert name is not None
        if len(waiting) == 1:  # needs no neighbours, and there may be a hundred thousand keys
            self._instance.add_dynamic_partitions(name, [waiting[0].id])
            yield RunPlan((waiting[0].id,))
            return
        keys = self._instance.get_dynamic_partitions(name)
        if added := new_keys(waiting, keys):
            self._instance.add_dynamic_partitions(name, added)
        yield from plan_runs(waiting, [*keys, *added])

    def _run(self, plan: RunPlan) -> None:
        self._bench.stopping.clear()
        if self.leaving.is_set():  # which sets both: so nothing is missed between the two
            return
        self._bench.catalogue.requested(plan.ids)
        run_id = str(uuid.uuid4())
        with self._stopped_from_outside(run_id, plan):
            self._job.execute_in_process(
                instance=self._instance,
                run_id=run_id,
                tags={**plan.tags, **NOT_RETRIED},
                run_config=plan.run_config | _QUIET,
                asset_selection=plan.assets,
                raise_on_error=False,
            )
        if self.leaving.is_set():
            self._bench.attendance.hand_back(plan.ids)

    @contextmanager
    def _stopped_from_outside(self, run_id: str, plan: RunPlan) -> Iterator[None]:
        """A run that somebody else ends in Dagster is handed back. One that a person cancelled
        stays cancelled, and is not begun again at once."""
        over, canceled = threading.Event(), threading.Event()
        watcher = threading.Thread(target=self._watch, args=(run_id, over, canceled), daemon=True)
        watcher.start()
        try:
            yield
        finally:
            over.set()
            watcher.join()
        if canceled.is_set():
            self._bench.catalogue.requested(plan.ids)
            if run := self._instance.get_run_by_id(run_id):
                self._instance.report_run_canceled(run)

    def _watch(self, run_id: str, over: threading.Event, canceled: threading.Event) -> None:
        while not over.wait(_WATCH_SECONDS):
            status = self._status(run_id)
            if status not in _ENDED:
                continue
            if status is not dg.DagsterRunStatus.FAILURE:
                canceled.set()
            self._bench.stopping.set()
            if not over.wait(_STUBBORN_SECONDS):
                sys.stderr.write(
                    f"Run {run_id} was ended and does not stop: so this worker does.\n"
                )
                os._exit(1)
            return

    def _status(self, run_id: str) -> dg.DagsterRunStatus | None:
        with suppress(*DATABASE_AWAY):
            run = self._instance.get_run_by_id(run_id)
            return run.status if run else None
        return None

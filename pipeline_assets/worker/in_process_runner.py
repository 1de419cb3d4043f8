"""Group pending recordings into runs and execute them in this process."""

from __future__ import annotations

import gc
import threading
import uuid
from collections.abc import Callable, Iterator, Sequence

import dagster as dg

from pipeline_assets.partitions import PARTITION_SET
from pipeline_assets.planning.plan_runs import run_requests_for_plans
from pipeline_assets.policies import RECORDINGS_PER_RUN
from pipeline_assets.runs import RunSpec, group_into_runs, missing_partition_keys
from pipeline_assets.tags import LAUNCHED_BY_WORKER, NO_RUN_RETRIES
from pipeline_assets.worker.cancellation import stop_on_termination
from playhead.core.records import Recording
from playhead.services.context import PipelineServices

_POLL_INTERVAL_SECONDS = 1.0  # for another worker's progress
_QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


def freeze_loaded_objects() -> None:
    """Exclude everything loaded so far from garbage collection.

    Call it once, at the start of a worker, before any run leaves garbage that would never be freed.
    """
    gc.collect()
    gc.freeze()


class InProcessRunner:
    """Executes Dagster runs in this process, one at a time.

    ``handled``: ids of the recordings that were started. ``stopping``: set by ``stop``, from any
    thread. ``working``: set while there is progress to show.
    """

    def __init__(
        self, services: PipelineServices, instance: dg.DagsterInstance, definitions: dg.Definitions
    ) -> None:
        self.handled: set[str] = set()
        self.stopping = threading.Event()
        self.working = threading.Event()
        self._services = services
        self._instance = instance
        self._definitions = definitions

    def stop(self) -> None:
        """Release the work of the current run and start no other run."""
        self.stopping.set()
        self._services.stopping.set()

    def run_until_done(self, only: Sequence[str] | None) -> None:
        """Run every pending recording once, then the open plans.

        With ``only``, runs no plans, but waits for those recordings that another worker is
        processing.
        """
        self.working.set()
        while (waiting := self._pending(only)) or self._held_by_other_worker(only):
            self.handled.update(recording.id for recording in waiting)
            self._make_runs(waiting)
        while only is None and self.run_plans(unless=self.stopping.is_set):
            self.working.set()

    def drain(self) -> None:
        """Run pending recordings until none is left.

        A recording that made no progress is retried after the same growing pauses as in the sensor.
        """
        recordings = self._services.pipeline.recordings
        while not self.stopping.is_set() and (
            waiting := recordings.pending(limit=RECORDINGS_PER_RUN, unrequested=True)
        ):
            self.working.set()
            self._make_runs(waiting)
        self.working.clear()

    def run_plans(self, unless: Callable[[], bool]) -> bool:
        """Run a batch of recordings of the open plans; return True if there was any.

        Stops between two runs if ``unless()`` is true, because something more urgent came.
        """
        if self.stopping.is_set() or not self._services.pipeline.plans.under_way():
            return False
        keys, progressed = self._instance.get_dynamic_partitions(PARTITION_SET), False
        for run in run_requests_for_plans(self._services, keys):
            self.working.set()
            self.handled.update(run.ids)
            self._run(run)
            progressed = True
            if unless() or self.stopping.is_set():
                break
        self.working.clear()
        return progressed

    def _make_runs(self, waiting: Sequence[Recording]) -> None:
        for run in self._plans(waiting):
            self._run(run)

    def _pending(self, only: Sequence[str] | None) -> list[Recording]:
        if self.stopping.is_set():
            return []
        return self._services.pipeline.recordings.pending(
            limit=RECORDINGS_PER_RUN, only=only, exclude=self.handled
        )

    def _held_by_other_worker(self, only: Sequence[str] | None) -> bool:
        """Return True, after a pause, if another worker holds any of the recordings."""
        if only is None or self.stopping.is_set():
            return False
        statuses = self._services.pipeline.recordings.statuses(None, only)
        busy = any(status.live for status in statuses)
        return busy and not self.stopping.wait(_POLL_INTERVAL_SECONDS)

    def _plans(self, waiting: Sequence[Recording]) -> Iterator[RunSpec]:
        if len(waiting) == 1:  # no range is needed; reading 100,000 keys is slow
            self._instance.add_dynamic_partitions(PARTITION_SET, [waiting[0].partition_key])
            yield RunSpec((waiting[0],))
            return
        keys = self._instance.get_dynamic_partitions(PARTITION_SET)
        if added := missing_partition_keys(waiting, keys):
            self._instance.add_dynamic_partitions(PARTITION_SET, added)
        yield from group_into_runs(waiting, [*keys, *added])

    def _run(self, run: RunSpec) -> None:
        self._services.stopping.clear()
        if self.stopping.is_set():  # stop() sets both events, so none is missed here
            return
        self._services.pipeline.recordings.mark_requested(run.ids)
        run_id = str(uuid.uuid4())
        with stop_on_termination(self._instance, run_id, self._services.stopping) as canceled:
            self._definitions.resolve_job_def(run.job).execute_in_process(
                instance=self._instance,
                run_id=run_id,
                tags={**run.tags, **NO_RUN_RETRIES, **LAUNCHED_BY_WORKER},
                run_config=run.run_config | _QUIET,
                asset_selection=run.assets,
                raise_on_error=False,
            )
        if canceled.is_set():  # canceled by a person, so it is not started again at once
            self._services.pipeline.recordings.mark_requested(run.ids)
        elif self.stopping.is_set():
            self._services.pipeline.recordings.release(run.ids)

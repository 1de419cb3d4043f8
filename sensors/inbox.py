"""The inbox sensor: ingests inbox files as recordings.

A safety net for the warm worker, which the kernel notifies of files. A file is ingested if it has
not changed between two evaluations, and removed from the inbox only after it is stored. An
evaluation that fails changes nothing.
"""

import hashlib
import json
import time
from collections.abc import Iterator, Sequence

import dagster as dg

from pipeline_assets.ops.ingest_file import FILE_TAG, ingest_from_inbox, ingest_inbox_file
from pipeline_assets.policies import SENSOR_GRACE_SECONDS
from pipeline_assets.runs import IN_PROGRESS_STATUSES
from playhead.core.errors import PlayheadError
from playhead.inbox.protocol import StabilityTracker
from playhead.postgres.coordination.liveness import WORKER
from playhead.services.context import PipelineServices

_INTERVAL_SECONDS = 4  # the daemon checks every 5 s and skips sensors that are not due yet
_TICK_SECONDS = 20  # a tick may take 60 s; a started file must finish within the rest
_LARGE_BYTES = 128 << 20  # larger files get a run of their own; 21 s at 50 Mbit/s
_ENOUGH_RUNS = 100


@dg.sensor(
    job=ingest_inbox_file,
    minimum_interval_seconds=_INTERVAL_SECONDS,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Ingests files from the inbox into the media store.",
)
def inbox_sensor(
    context: dg.SensorEvaluationContext, playhead: dg.ResourceParam[PipelineServices]
) -> dg.SensorResult:
    now = playhead.files.inbox.list_files()
    names = {_opaque_name(name): name for name in now}  # Dagster stores no file names
    listing = {key: now[name] for key, name in names.items()}
    worker_alive = playhead.liveness.is_alive(WORKER)
    tracker = StabilityTracker(stable_seconds=0.0, seen=_load(context.cursor))
    complete = [names[key] for key in tracker.complete(listing, time.time())]
    complete = _not_taken_by_worker(complete, playhead, worker_alive)
    small = [name for name in complete if now[name][0] <= _LARGE_BYTES]
    ingested = sum(1 for _ in _take(context, playhead, small))
    requests = [
        _request(name)
        for name in complete
        if name not in small and not _is_being_ingested(context.instance, name)
    ]
    return dg.SensorResult(
        run_requests=requests[:_ENOUGH_RUNS],
        cursor=json.dumps(listing),
        skip_reason=None
        if requests
        else f"{ingested} files ingested, {len(now) - ingested} still being written",
    )


def _not_taken_by_worker(
    complete: Sequence[str], services: PipelineServices, worker_alive: bool
) -> list[str]:
    """Return the files for this sensor to ingest.

    While a warm worker is alive, these are only files that arrived long ago.
    """
    return [
        name
        for name in complete
        if not worker_alive or services.files.inbox.age(name) > SENSOR_GRACE_SECONDS
    ]


def _take(
    context: dg.SensorEvaluationContext, services: PipelineServices, names: list[str]
) -> Iterator[str]:
    deadline = time.monotonic() + _TICK_SECONDS
    for name in names:
        if time.monotonic() > deadline:
            return
        try:
            result = ingest_from_inbox(services, name)
        except (OSError, PlayheadError) as error:  # this file only; the next tick tries again
            context.log.warning(f"{name!r} stays in the inbox: {error}")
            continue
        word = "is already" if result.duplicate else "was added as"
        context.log.info(f"A file {word} recording {result.recording.id}")
        yield name


def _request(name: str) -> dg.RunRequest:
    return dg.RunRequest(
        run_config={"ops": {"ingest_file": {"config": {"name": name}}}},
        tags={FILE_TAG: _opaque_name(name)},
    )


def _is_being_ingested(instance: dg.DagsterInstance, name: str) -> bool:
    found = dg.RunsFilter(tags={FILE_TAG: _opaque_name(name)}, statuses=IN_PROGRESS_STATUSES)
    return instance.get_runs_count(found) > 0


def _opaque_name(name: str) -> str:
    """Return a short hash of the file name, for tags and cursors, without personal data."""
    return hashlib.sha256(name.encode("utf-8", "surrogateescape")).hexdigest()[:32]


def _load(cursor: str | None) -> dict[str, tuple[int, int]]:
    return {name: (size, time) for name, (size, time) in json.loads(cursor or "{}").items()}

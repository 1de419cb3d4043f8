"""Collecting one file of the inbox: by the warm worker, or by the sensor itself when it is small
and by a run of ``collect_file`` when copying it would outlast a sensor's tick."""

import os
from contextlib import suppress
from pathlib import Path

import dagster as dg

from pipeline_assets.policies import LIMITS, RETRY_POLICY
from resources.intake import Arrival
from resources.workbench import Workbench

FILE_TAG = "playhead/inbox_file"


class InboxFile(dg.Config):
    """Which file."""

    path: str


def take_from_inbox(bench: Workbench, file: Path) -> Arrival:
    """Store and register the file, then remove it from the inbox, unless somebody has changed or
    replaced it meanwhile. Two may take the same file at once. Raises ``OSError``."""
    before = file.stat()
    arrival = bench.intake.take_in(file, org_id=bench.settings.org)
    with suppress(FileNotFoundError):
        after = file.stat()
        if os.path.samestat(before, after) and before.st_mtime_ns == after.st_mtime_ns:
            file.unlink()
    return arrival


@dg.op(out=dg.Out(dg.Nothing), retry_policy=RETRY_POLICY)
def collect(
    context: dg.OpExecutionContext, config: InboxFile, workbench: dg.ResourceParam[Workbench]
) -> None:
    file = Path(config.path)
    if not file.exists():
        context.log.info(f"{file.name!r} was taken by an earlier run.")
        return
    arrival = take_from_inbox(workbench, file)
    context.log.info(f"{file.name!r} becomes recording {arrival.recording.id}")


@dg.job(executor_def=dg.in_process_executor, tags=LIMITS)
def collect_file() -> None:
    """Take one large file from the inbox."""
    collect()

"""The workbench as a Dagster resource. With ``dagster_instance.py`` and ``dagster_events.py`` all
here that knows Dagster; the arrows are held by a test."""

from collections.abc import Iterator
from contextlib import nullcontext

import dagster as dg

from resources.engines import Engines
from resources.postgres.attendance import run_duty
from resources.settings import Settings
from resources.workbench import Workbench, open_workbench


def workbench_resource(
    settings: Settings, engines: Engines, bench: Workbench | None
) -> dg.ResourceDefinition:
    """Opened when a run or a sensor first needs it, closed after; the engines live on. Or
    ``bench``, of a process that keeps it open between its runs."""

    @dg.resource(description="Recordings, ledger, media and models.")
    def workbench(context: dg.InitResourceContext) -> Iterator[Workbench]:
        with nullcontext(bench) if bench else open_workbench(settings, engines) as opened:
            if context.run is None:
                yield opened
            else:
                with opened.attendance.holding(run_duty(context.run.run_id)):
                    yield opened

    return workbench

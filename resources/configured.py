"""The workbench as a Dagster resource. With ``dagster_instance.py`` the only file here that
knows Dagster; the arrows are held by a test."""

from collections.abc import Iterator
from threading import Event

import dagster as dg

from resources.engines import Engines
from resources.settings import Settings
from resources.workbench import Workbench, open_workbench


def workbench_resource(
    settings: Settings, engines: Engines, stopping: Event | None
) -> dg.ResourceDefinition:
    """Opened when a run or a sensor first needs it, closed after; the engines live on.
    ``stopping``: for a process that can be told to hand back the run it is at."""

    @dg.resource(description="Recordings, ledger, media and models.")
    def workbench(context: dg.InitResourceContext) -> Iterator[Workbench]:
        with open_workbench(settings, engines, stopping) as bench:
            if context.run is not None:
                bench.ledger.attend(context.run.run_id)
            yield bench

    return workbench

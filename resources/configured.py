"""The workbench as a Dagster resource. With ``dagster_instance.py`` the only file here that
knows Dagster; the arrows are held by a test."""

from collections.abc import Iterator

import dagster as dg

from resources.engines import Engines
from resources.settings import Settings
from resources.workbench import Workbench, open_workbench


def workbench_resource(settings: Settings, engines: Engines) -> dg.ResourceDefinition:
    """Opened when a run or a sensor first needs it, closed after; the engines live on."""

    @dg.resource(description="Recordings, ledger, media and models.")
    def workbench(context: dg.InitResourceContext) -> Iterator[Workbench]:
        with open_workbench(settings, engines) as bench:
            if context.run is not None:
                bench.ledger.attend(context.run.run_id)
            yield bench

    return workbench

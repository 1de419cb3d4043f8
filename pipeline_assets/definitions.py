"""The composition root: the Dagster definitions of assets, jobs, schedules and sensors.

No module imports this one except entry points; Dagster loads ``defs`` from it. Only this module may
import ``sensors``.
"""

import dagster as dg

from pipeline_assets import jobs, schedules
from pipeline_assets.assets.backlog import backlog, no_model_near_shutdown
from pipeline_assets.assets.recordings import recordings
from pipeline_assets.assets.vector_indexes import vector_indexes, vector_search_recall
from playhead.core.settings import Settings, load_settings
from playhead.engines.registry import Engines, build_engines
from playhead.services.context import PipelineServices
from resources.dagster_resources import openai_resource, services_resource
from sensors.inbox import inbox_sensor
from sensors.lost_retries import lost_retries_sensor
from sensors.orphaned_runs import orphaned_runs_sensor
from sensors.pending_recordings import pending_recordings_sensor
from sensors.provider_batches import provider_batches_sensor
from sensors.rebuild_plans import rebuild_plans_sensor
from sensors.run_failures import run_failure_sensor


def build_definitions(
    settings: Settings, *, engines: Engines | None = None, services: PipelineServices | None = None
) -> dg.Definitions:
    """Return the Dagster definitions of Playhead.

    ``engines`` replaces the engines that the settings name. ``services``, already open, is used by
    all runs and sensors of this process, together with its engines.
    """
    chosen = services.engines if services else engines or build_engines(settings)
    return dg.Definitions(
        assets=[recordings, backlog, vector_indexes],
        asset_checks=[no_model_near_shutdown, vector_search_recall],
        jobs=jobs.JOBS,
        schedules=[
            schedules.nightly_reconcile_schedule,
            schedules.nightly_prune_schedule,
            schedules.nightly_recall_schedule,
            schedules.hourly_backlog_schedule,
            schedules.model_switch_schedule,
            schedules.vector_index_schedule,
        ],
        sensors=[
            inbox_sensor,
            pending_recordings_sensor,
            orphaned_runs_sensor,
            rebuild_plans_sensor,
            provider_batches_sensor,
            run_failure_sensor,
            lost_retries_sensor,
        ],
        resources={
            "playhead": services_resource(settings, chosen, services),
            "openai": openai_resource(settings),
        },
        executor=dg.in_process_executor,
    )


@dg.definitions
def defs() -> dg.Definitions:
    """Return the definitions that Dagster loads.

    This is a function so that importing the module builds nothing.
    """
    return build_definitions(load_settings())

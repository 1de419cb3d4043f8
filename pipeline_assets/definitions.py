"""The composition root: everything above, put together once. Nobody imports this module;
Dagster loads ``defs`` from it. It alone may look at ``sensors``."""

import dagster as dg

from pipeline_assets import jobs, schedules
from pipeline_assets.assets.backlog import backlog, models_live_on
from pipeline_assets.assets.recordings import recordings
from pipeline_assets.assets.vector_indexes import nearest_are_found, vector_indexes
from playhead.core.settings import Settings, load_settings
from playhead.engines.registry import Engines, choose_engines
from playhead.services.context import PipelineServices
from resources.dagster_resources import openai_resource, services_resource
from sensors.inbox import inbox
from sensors.lost_retries import retries
from sensors.pending_recordings import uploads
from sensors.provider_batches import batches
from sensors.rebuild_plans import plans
from sensors.run_failures import failures


def build_definitions(
    settings: Settings, *, engines: Engines | None = None, services: PipelineServices | None = None
) -> dg.Definitions:
    """The whole of Playhead for Dagster. ``engines`` replaces those that settings name; ``services``,
    open already, is what all runs and sensors of this process use, with its engines."""
    chosen = services.engines if services else engines or choose_engines(settings)
    return dg.Definitions(
        assets=[recordings, backlog, vector_indexes],
        asset_checks=[models_live_on, nearest_are_found],
        jobs=jobs.JOBS,
        schedules=[
            schedules.nightly_reconcile,
            schedules.nightly_prune,
            schedules.nightly_recall,
            schedules.hourly_backlog,
            schedules.model_change,
            schedules.indexing,
        ],
        sensors=[inbox, uploads, plans, batches, failures, retries],
        resources={
            "playhead": services_resource(settings, chosen, services),
            "openai": openai_resource(settings),
        },
        executor=dg.in_process_executor,
    )


@dg.definitions
def defs() -> dg.Definitions:
    """What Dagster loads. A function, so that importing this module builds nothing."""
    return build_definitions(load_settings())

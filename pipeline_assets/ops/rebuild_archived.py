"""Rebuild results of archived recordings.

Archived recordings have no Dagster partitions but are still searched. A plan therefore rebuilds
them, too, in runs without partitions.
"""

from collections.abc import Iterator

import dagster as dg

from pipeline_assets.assets.recordings import process_recordings
from pipeline_assets.policies import POOL, RETRY_POLICY
from pipeline_assets.runs import RunConfig
from playhead.services.context import PipelineServices


@dg.op(
    out=dg.Out(dg.Nothing),
    pool=POOL,
    retry_policy=RETRY_POLICY,
    description=__doc__,
)
def rebuild_archived_recordings(
    context: dg.OpExecutionContext, config: RunConfig, playhead: dg.ResourceParam[PipelineServices]
) -> Iterator[dg.Output[None]]:
    plan = playhead.pipeline.plans.get(config.plan or 0)
    recordings = playhead.pipeline.recordings.get_many(config.only or [])
    process_recordings(context, config, playhead, recordings, plan.stages)
    yield dg.Output(None)

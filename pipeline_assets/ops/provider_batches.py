"""Submit provider batches and collect their answers, one step per run.

This is a run of its own because uploading a file of requests takes longer than a sensor tick may.
The implementation is in ``playhead/providers/batch_api.py``.
"""

from dataclasses import asdict

import dagster as dg

from playhead.providers.clients import open_batch_api
from playhead.services.context import PipelineServices


@dg.op(out=dg.Out(dg.Nothing), description=__doc__)
def sync_batches(
    context: dg.OpExecutionContext, playhead: dg.ResourceParam[PipelineServices]
) -> None:
    step = open_batch_api(playhead.settings, playhead.provider_use.batches).sync()
    context.log.info(f"Batches: {asdict(step)}")

"""Batches carried to their provider and back: a step whenever something is under way.

A run of its own, since a file of requests takes longer to send than a sensor may. Not here: when
(``sensors/provider_batches.py``), how (``playhead/providers/batch_api.py``).
"""

from dataclasses import asdict

import dagster as dg

from playhead.providers.factory import open_batches
from playhead.services.context import PipelineServices


@dg.op(out=dg.Out(dg.Nothing), description=__doc__)
def sync_batches(
    context: dg.OpExecutionContext, playhead: dg.ResourceParam[PipelineServices]
) -> None:
    step = open_batches(playhead.settings, playhead.provider_use.batches).step()
    context.log.info(f"Batches: {asdict(step)}")

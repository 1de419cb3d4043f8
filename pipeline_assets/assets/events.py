"""What Dagster is told of a result beside its metadata: its versions, and who made it.

Both ways to tell use it: a run as it works (``recordings.py``), and whoever finds later that a
result was never told (``untold.py``).
"""

from __future__ import annotations

import dagster as dg

from playhead.core.records import STAGES, Json
from playhead.postgres.pipeline.transcript_versions import MANUAL_RUN_ID

_VERSION_DIGITS = 32  # of a content hash; Dagster keeps versions as tags, which are short


def data_version_tags(code_version: str, output_hash: str, inputs: Json) -> dict[str, str]:
    """Content hashes as Dagster's data versions, so that it shows as out of sync exactly what
    was made from something else than what is current."""
    tags = {
        "dagster/code_version": code_version,
        "dagster/data_version": output_hash[:_VERSION_DIGITS],
        "dagster/data_version_is_user_provided": "true",
    }
    for stage in STAGES:
        if stage in inputs:
            tags[f"dagster/input_data_version/{stage}"] = str(inputs[stage])[:_VERSION_DIGITS]
            tags[f"dagster/input_event_pointer/{stage}"] = "NULL"
    return tags


def run_link(run_id: str) -> dg.MetadataValue:
    """A link to the run, where it was one."""
    if run_id == MANUAL_RUN_ID:
        return dg.MetadataValue.text(MANUAL_RUN_ID)
    return dg.MetadataValue.dagster_run(run_id)

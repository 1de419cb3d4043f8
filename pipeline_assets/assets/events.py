"""Tags and metadata of a result's Dagster event: its data versions and the run that created it.

Used by a running run (``recordings.py``) and by the job that reports missing events
(``maintenance/missing_events.py``).
"""

from __future__ import annotations

from typing import Any

import dagster as dg

from playhead.core.records import STAGES, Json
from playhead.postgres.pipeline.transcript_versions import MANUAL_RUN_ID

_VERSION_DIGITS = 32  # of a content hash; Dagster stores versions as tags, which are short


def data_version_tags(code_version: str, output_hash: str, inputs: Json) -> dict[str, str]:
    """Return Dagster's data version tags, with content hashes as versions.

    Dagster then shows a partition as out of sync only if it was created from inputs that are no
    longer current.
    """
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


def lineage_entry(
    result_id: int, attempt: int, inputs: Json, recipe: Json
) -> dg.MetadataValue[Any]:
    """Return where a result comes from: inputs by output hash, and the recipe."""
    return dg.MetadataValue.json(
        {
            "result": result_id,
            "attempt": attempt,
            "inputs": dict(inputs),
            "recipe": dict(recipe),
        }
    )


def run_link(run_id: str) -> dg.MetadataValue:
    """Return a link to the run, or plain text if the result was entered manually."""
    if run_id == MANUAL_RUN_ID:
        return dg.MetadataValue.text(MANUAL_RUN_ID)
    return dg.MetadataValue.dagster_run(run_id)

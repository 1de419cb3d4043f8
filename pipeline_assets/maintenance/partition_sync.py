"""Sync Dagster's partitions with the recordings."""

import dagster as dg

from pipeline_assets.partitions import PARTITION_SET


def sync_partitions(instance: dg.DagsterInstance, recordings: set[str]) -> tuple[int, int]:
    """Make Dagster's partitions equal to ``recordings``; return how many were added and removed."""
    keys = set(instance.get_dynamic_partitions(PARTITION_SET))
    added, removed = sorted(recordings - keys), sorted(keys - recordings)
    if added:
        instance.add_dynamic_partitions(PARTITION_SET, added)
    for key in removed:
        instance.delete_dynamic_partition(PARTITION_SET, key)
    return len(added), len(removed)

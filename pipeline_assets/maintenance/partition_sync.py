"""Dagster's partitions, made to follow the recordings."""

import dagster as dg

from pipeline_assets.partitions import PARTITION_SET


def sync_partitions(instance: dg.DagsterInstance, recordings: set[str]) -> tuple[int, int]:
    """Have Dagster's partitions be these recordings; how many were added and removed."""
    keys = set(instance.get_dynamic_partitions(PARTITION_SET))
    added, removed = sorted(recordings - keys), sorted(keys - recordings)
    if added:
        instance.add_dynamic_partitions(PARTITION_SET, added)
    for key in removed:
        instance.delete_dynamic_partition(PARTITION_SET, key)
    return len(added), len(removed)

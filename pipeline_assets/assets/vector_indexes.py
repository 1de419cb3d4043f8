"""The ``vector_indexes`` asset: vector indexes of large organisations, and their recall.

Indexes are built and dropped on a schedule (``playhead/postgres/search/vector_indexes.py``); recall
is measured every night (``playhead/services/recall.py``).
"""

from collections import Counter
from collections.abc import Sequence

import dagster as dg

from pipeline_assets.policies import GROUP, OWNERS
from playhead.services.context import PipelineServices
from playhead.services.recall import MIN_RECALL, RecallBySize, measure_recall


@dg.asset(
    group_name=GROUP,
    owners=OWNERS,
    kinds={"postgres"},
    description="One vector index per organisation with too many vectors for an exact scan.",
)
def vector_indexes(
    context: dg.AssetExecutionContext, playhead: dg.ResourceParam[PipelineServices]
) -> dg.MaterializeResult[None]:
    changed = playhead.search.vector_indexes.maintain()
    for index in changed:
        context.log.info(f"{index.action}: {index.name} of {index.org_id}, set {index.set_id}")
    sizes = [
        index.bytes
        for index in playhead.search.vector_indexes.index_states()
        if index.bytes is not None
    ]
    return dg.MaterializeResult(
        metadata={
            "indexes": len(sizes),
            "bytes": sum(sizes),
            **Counter(str(index.action) for index in changed),
        }
    )


@dg.asset_check(
    asset=vector_indexes,
    description=f"Fails if searches find less than {MIN_RECALL:.0%} of what an exact scan finds, "
    "in organisations of every size, with and without a filter.",
)
def vector_search_recall(playhead: dg.ResourceParam[PipelineServices]) -> dg.AssetCheckResult:
    active = playhead.search.embedding_sets.active()
    return recall_check_result(measure_recall(active, playhead.search.chunks) if active else [])


def recall_check_result(sizes: Sequence[RecallBySize]) -> dg.AssetCheckResult:
    """Return a check result that fails if any size of organisation has too low recall."""
    metadata: dict[str, float] = {}
    for size in sizes:
        metadata |= {
            f"{size.size}: organisations": size.organisations,
            f"{size.size}: recall": size.recall,
            f"{size.size}: recall with a filter": size.filtered,
            f"{size.size}: short answers": size.short,
        }
    return dg.AssetCheckResult(
        passed=all(size.good for size in sizes),
        severity=dg.AssetCheckSeverity.ERROR,
        metadata=metadata,
    )

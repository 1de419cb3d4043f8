"""The ``embeddings`` asset: one vector per chunk, in the set of the embedding model."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from pipeline_assets.assets import checks
from pipeline_assets.assets.batch_stage import BatchStage, ClaimedTasks
from pipeline_assets.assets.stage import (
    Metadata,
    RecordingContext,
    StageResult,
    StageTask,
    format_engine,
    stage_spec,
)
from playhead.core.call_context import CallContext, call_context, current_call_context
from playhead.core.errors import BatchPending
from playhead.core.protocols.embedder import Embedder
from playhead.core.records import Recipe, content_hash
from playhead.postgres.pipeline.content import Coverage, EmbeddingWrite, UncachedText
from playhead.postgres.pipeline.stage_results import Result
from playhead.services.context import EmbeddingTarget, PipelineServices

CODE_VERSION = "1"

SPEC = stage_spec(
    "embeddings",
    after=("chunks",),
    code_version=CODE_VERSION,
    kinds={"python", "postgres"},
    description="One unit vector a chunk, in the set of its model. A text is embedded once per "
    "model and organisation.",
)


def recipe(embedder: Embedder) -> Recipe:
    return Recipe("embeddings", CODE_VERSION, embedder.engine)


def _task(work: RecordingContext, lanes: Sequence[EmbeddingTarget]) -> StageTask:
    [lane] = lanes
    chunks = work.upstream("chunks", lane.embedding_set.id)
    inputs = {"chunks": chunks.output_hash, "chunk_recipe": chunks.recipe_hash}
    return StageTask(work, recipe(lane.embedder), inputs, lanes)


def _make(claimed: ClaimedTasks) -> list[StageResult]:
    tasks, claims = [task for task, _ in claimed], [claim for _, claim in claimed]
    [lane], services = tasks[0].targets, tasks[0].context.services
    chunks = [task.context.upstream("chunks", lane.embedding_set.id) for task in tasks]
    for done, of in _fill_cache(tasks, chunks, lane):
        services.pipeline.results.progress(
            claims, 100 * done // of, f"embedded {done} of {of} passages"
        )
    hashes = [
        content_hash([one.output_hash, task.recipe.hash])
        for task, one in zip(tasks, chunks, strict=True)
    ]
    with services.pipeline.results.finish_all(claims, hashes) as (connection, results):
        embedded = [
            EmbeddingWrite(task.context.recording, result, one)
            for task, result, one in zip(tasks, results, chunks, strict=True)
        ]
        services.pipeline.results.supersede(connection, results)
        services.pipeline.content.put_embeddings(connection, embedded, lane.embedding_set.id)
    coverages = services.pipeline.content.coverage(embedded, lane.embedding_set.id)
    return [
        task.created(result, _describe(lane, coverage), checks.check_embeddings(coverage))
        for task, result, coverage in zip(tasks, results, coverages, strict=True)
    ]


EMBEDDINGS = BatchStage("embedding", lambda work: [[lane] for lane in work.targets], _task, _make)


def _describe(lane: EmbeddingTarget, coverage: Coverage) -> Metadata:
    return {
        "vectors": coverage.vectors,
        "dimensions": lane.embedding_set.dimensions,
        "tokens": coverage.tokens,
        "model": format_engine(lane.embedder.engine),
        "set": lane.embedding_set.id,
    }


def _fill_cache(
    tasks: Sequence[StageTask], chunks: Sequence[Result], lane: EmbeddingTarget
) -> Iterator[tuple[int, int]]:
    """Embed all texts that are not cached and yield (done, total) after each provider call.

    Raises ``BatchPending`` after all batches are submitted if any of them is still pending.
    """
    services, org_id = tasks[0].context.services, tasks[0].context.recording.org_id
    recipes = {
        task.context.recording.id: one.recipe_hash for task, one in zip(tasks, chunks, strict=True)
    }
    texts = services.pipeline.content.uncached_texts(org_id, recipes, lane.embedding_set.id)
    hashes = list(texts)
    awaited: BatchPending | None = None
    for batch in lane.embedder.batches([one.text for one in texts.values()]):
        services.raise_if_stopping()
        try:
            part = hashes[batch.start : batch.stop]
            _embed(services, org_id, lane, {key: texts[key] for key in part})
        except BatchPending as error:
            awaited = error
        yield batch.stop, len(hashes)
    if awaited:
        raise awaited


def _embed(
    services: PipelineServices,
    org_id: str,
    lane: EmbeddingTarget,
    texts: Mapping[str, UncachedText],
) -> None:
    """Embed these texts and cache their vectors.

    Waits for texts that another worker is embedding.
    """
    set_id = lane.embedding_set.id
    with services.pipeline.results.lock_texts(org_id, set_id, list(texts)):
        if missing := services.pipeline.content.uncached_of(org_id, set_id, list(texts)):
            wanted = {key: texts[key] for key in missing}
            with call_context(_call_context_for(wanted)):
                vectors = lane.embedder.embed([one.text for one in wanted.values()])
            services.pipeline.content.cache_vectors(org_id, set_id, wanted, vectors)


def _call_context_for(texts: Mapping[str, UncachedText]) -> CallContext:
    """Return the current call context, weighted by the characters of each recording's texts."""
    weights: Counter[str] = Counter()
    for text in texts.values():
        weights[text.recording_id] += len(text.text)
    return replace(current_call_context(), recordings=weights)

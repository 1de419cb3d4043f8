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
    description="One unit vector per chunk, in the embedding set of the model. Each text is "
    "embedded once per model and organisation.",
)


def recipe(embedder: Embedder) -> Recipe:
    return Recipe("embeddings", CODE_VERSION, embedder.engine)


def _task(work: RecordingContext, targets: Sequence[EmbeddingTarget]) -> StageTask:
    [target] = targets
    chunks = work.upstream("chunks", target.embedding_set.id)
    inputs = {"chunks": chunks.output_hash, "chunk_recipe": chunks.recipe_hash}
    return StageTask(work, recipe(target.embedder), inputs, targets)


def _make(claimed: ClaimedTasks) -> list[StageResult]:
    tasks, claims = [task for task, _ in claimed], [claim for _, claim in claimed]
    [target], services = tasks[0].targets, tasks[0].context.services
    chunks = [task.context.upstream("chunks", target.embedding_set.id) for task in tasks]
    for done, total in _fill_cache(tasks, chunks, target):
        services.pipeline.results.progress(
            claims, 100 * done // total, f"embedded {done} of {total} passages"
        )
    hashes = [
        content_hash([result.output_hash, task.recipe.hash])
        for task, result in zip(tasks, chunks, strict=True)
    ]
    with services.pipeline.results.finish_all(claims, hashes) as (connection, results):
        writes = [
            EmbeddingWrite(task.context.recording, result, chunks_result)
            for task, result, chunks_result in zip(tasks, results, chunks, strict=True)
        ]
        services.pipeline.results.supersede(connection, results)
        services.pipeline.content.put_embeddings(connection, writes, target.embedding_set.id)
    coverages = services.pipeline.content.coverage(writes, target.embedding_set.id)
    return [
        task.created(result, _describe(target, coverage), checks.check_embeddings(coverage))
        for task, result, coverage in zip(tasks, results, coverages, strict=True)
    ]


EMBEDDINGS = BatchStage(
    "embedding", lambda work: [[target] for target in work.targets], _task, _make
)


def _describe(target: EmbeddingTarget, coverage: Coverage) -> Metadata:
    return {
        "vectors": coverage.vectors,
        "dimensions": target.embedding_set.dimensions,
        "tokens": coverage.tokens,
        "model": format_engine(target.embedder.engine),
        "set": target.embedding_set.id,
    }


def _fill_cache(
    tasks: Sequence[StageTask], chunks: Sequence[Result], target: EmbeddingTarget
) -> Iterator[tuple[int, int]]:
    """Embed all texts that are not cached and yield (done, total) after each provider call.

    Raises ``BatchPending`` after all batches are submitted if any of them is still pending.
    """
    services, org_id = tasks[0].context.services, tasks[0].context.recording.org_id
    recipes = {
        task.context.recording.id: result.recipe_hash
        for task, result in zip(tasks, chunks, strict=True)
    }
    texts = services.pipeline.content.uncached_texts(org_id, recipes, target.embedding_set.id)
    hashes = list(texts)
    pending: BatchPending | None = None
    for batch in target.embedder.batches([text.text for text in texts.values()]):
        services.raise_if_stopping()
        try:
            part = hashes[batch.start : batch.stop]
            _embed(services, org_id, target, {key: texts[key] for key in part})
        except BatchPending as error:
            pending = error
        yield batch.stop, len(hashes)
    if pending:
        raise pending


def _embed(
    services: PipelineServices,
    org_id: str,
    target: EmbeddingTarget,
    texts: Mapping[str, UncachedText],
) -> None:
    """Embed these texts and cache their vectors.

    Waits for texts that another worker is embedding.
    """
    set_id = target.embedding_set.id
    with services.pipeline.results.lock_texts(org_id, set_id, list(texts)):
        if missing := services.pipeline.content.uncached_of(org_id, set_id, list(texts)):
            uncached = {key: texts[key] for key in missing}
            with call_context(_call_context_for(uncached)):
                vectors = target.embedder.embed([text.text for text in uncached.values()])
            services.pipeline.content.cache_vectors(org_id, set_id, uncached, vectors)


def _call_context_for(texts: Mapping[str, UncachedText]) -> CallContext:
    """Return the current call context, weighted by the characters of each recording's texts."""
    weights: Counter[str] = Counter()
    for text in texts.values():
        weights[text.recording_id] += len(text.text)
    return replace(current_call_context(), recordings=weights)

"""``embeddings``: a vector for every chunk, in the set of the embedding model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

from pipeline_assets import checks
from pipeline_assets.stages import (
    Metadata,
    Outcome,
    Work,
    claimed,
    engine_line,
    in_every_lane,
    stage_spec,
)
from resources.embedding.protocol import Embedder
from resources.postgres.content import Coverage
from resources.postgres.ledger import Claim
from resources.records import Recipe, Recording, Usage, content_hash
from resources.workbench import Lane, Workbench

CODE_VERSION = "1"
TEXTS_A_CALL = 64  # kept as soon as they are made: a crash costs at most this many

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


def make_embeddings(work: Work) -> Outcome:
    return in_every_lane(work, [[lane] for lane in work.lanes], partial(_make, work))


def _make(work: Work, lanes: Sequence[Lane]) -> Outcome:
    [lane] = lanes
    bench, recording = work.bench, work.recording
    chunks = work.upstream("chunks", lane.set.id)
    inputs = {"chunks": chunks.output_hash, "chunk_recipe": chunks.recipe_hash}
    with claimed(work, recipe(lane.embedder), inputs, detail="embedding", lanes=lanes) as claim:
        if claim.done:
            return work.found(claim, claim.done)
        _fill_cache(bench, claim, chunks.recipe_hash, lane)
        output_hash = content_hash([chunks.output_hash, claim.recipe.hash])
        with bench.ledger.finish(claim, output_hash=output_hash, usage=Usage()) as (
            connection,
            result,
        ):
            bench.ledger.supersede(connection, claim)
            bench.content.put_embeddings(connection, result, recording, chunks, lane.set.id)
    coverage = bench.content.coverage(recording, chunks.recipe_hash, lane.set.id)
    return work.made(claim, result, _describe(lane, coverage), checks.of_embeddings(coverage))


def _describe(lane: Lane, coverage: Coverage) -> Metadata:
    return {
        "vectors": coverage.vectors,
        "dimensions": lane.set.dimensions,
        "tokens": coverage.tokens,
        "model": engine_line(lane.embedder.engine),
        "set": lane.set.id,
    }


def _fill_cache(bench: Workbench, claim: Claim, chunk_recipe: str, lane: Lane) -> None:
    texts = bench.content.uncached_texts(claim.recording, chunk_recipe, lane.set.id)
    hashes = list(texts)
    for start in range(0, len(hashes), TEXTS_A_CALL):
        bench.keep_on()
        batch = hashes[start : start + TEXTS_A_CALL]
        _embed(bench, claim.recording, lane, {key: texts[key] for key in batch})
        finished = start + len(batch)
        bench.ledger.progress(
            claim, 100 * finished // len(hashes), f"embedded {finished} of {len(hashes)} passages"
        )


def _embed(bench: Workbench, recording: Recording, lane: Lane, texts: Mapping[str, str]) -> None:
    """Cache the vectors of these texts; those that another worker is at are waited for."""
    set_id = lane.set.id
    with bench.ledger.texts_locked(recording.org_id, set_id, list(texts)):
        if missing := bench.content.uncached_of(recording, set_id, list(texts)):
            vectors = lane.embedder.embed([texts[key] for key in missing])
            bench.content.cache_vectors(recording, set_id, missing, vectors)

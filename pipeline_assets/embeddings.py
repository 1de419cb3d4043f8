"""``embeddings``: a vector for every chunk, in the set of the embedding model."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
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
from resources.embedding.protocol import TEXTS_A_CALL, Embedder
from resources.errors import PlayheadError
from resources.postgres.content import Coverage, Uncached
from resources.records import Recipe, Usage, content_hash
from resources.workbench import Lane, Workbench

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
        recipes = {recording.id: chunks.recipe_hash}
        for done, of in _fill_cache(bench, recording.org_id, recipes, lane):
            bench.ledger.progress(claim, 100 * done // of, f"embedded {done} of {of} passages")
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


def embed_ahead(works: Sequence[Work]) -> None:
    """Embed the passages of several recordings together, so that calls are full; each finds its
    vectors in the cache then. What fails here is met again, and told, by the recording it is of."""
    bench, lanes = works[0].bench, works[0].lanes
    for org_id in {work.recording.org_id for work in works}:
        for lane in lanes:
            recipes = {
                work.recording.id: chunks.recipe_hash
                for work in works
                if work.recording.org_id == org_id
                and (chunks := work.standing.get(("chunks", lane.set.id)))
            }
            with suppress(PlayheadError):
                for _ in _fill_cache(bench, org_id, recipes, lane):
                    pass


def _fill_cache(
    bench: Workbench, org_id: str, recipes: Mapping[str, str], lane: Lane
) -> Iterator[tuple[int, int]]:
    """Gives how many texts of how many are embedded, after each call. ``recipes``: of the chunks,
    by recording id."""
    texts = bench.content.uncached_texts(org_id, recipes, lane.set.id)
    hashes = list(texts)
    for start in range(0, len(hashes), TEXTS_A_CALL):
        bench.keep_on()
        batch = hashes[start : start + TEXTS_A_CALL]
        _embed(bench, org_id, lane, {key: texts[key] for key in batch})
        yield start + len(batch), len(hashes)


def _embed(bench: Workbench, org_id: str, lane: Lane, texts: Mapping[str, Uncached]) -> None:
    """Cache the vectors of these texts; those that another worker is at are waited for."""
    set_id = lane.set.id
    with bench.ledger.texts_locked(org_id, set_id, list(texts)):
        if missing := bench.content.uncached_of(org_id, set_id, list(texts)):
            vectors = lane.embedder.embed([texts[key].text for key in missing])
            wanted = {key: texts[key] for key in missing}
            bench.content.cache_vectors(org_id, set_id, wanted, vectors)

"""``embeddings``: a vector for every chunk, in the set of the embedding model."""

from __future__ import annotations

from pipeline_assets import checks
from pipeline_assets.stages import (
    Outcome,
    Turn,
    claimed,
    engine_line,
    stage_spec,
    upstream,
)
from resources.postgres.ledger import Claim
from resources.records import Recipe, Recording, Usage, content_hash
from resources.workbench import Workbench

CODE_VERSION = "1"
_TEXTS_A_BATCH = 64  # kept as soon as they are made: a crash costs at most this many

SPEC = stage_spec(
    "embeddings",
    after=("chunks",),
    code_version=CODE_VERSION,
    kinds={"python", "postgres"},
    description="One unit vector a chunk, in the set of its model. A text is embedded once per "
    "model and organisation.",
)


def make_embeddings(bench: Workbench, recording: Recording, turn: Turn) -> Outcome:
    source = upstream(bench, recording, "chunks")
    embedder = bench.engines.embedder
    recipe = Recipe("embeddings", CODE_VERSION, embedder.engine)
    inputs = {"chunks": source.output_hash, "chunk_recipe": source.recipe_hash}
    with claimed(bench, recording, recipe, inputs, turn, detail="embedding") as claim:
        result = claim.done
        if result is None:
            set_id = bench.content.embedding_set(embedder.engine, embedder.dimensions)
            _fill_cache(bench, claim, source.recipe_hash, set_id)
            output_hash = content_hash([source.output_hash, recipe.hash])
            with bench.ledger.finish(claim, output_hash=output_hash, usage=Usage()) as (
                connection,
                result,
            ):
                bench.ledger.supersede(connection, claim)
                bench.content.put_embeddings(
                    connection, result, recording, source.recipe_hash, set_id
                )
    coverage = bench.content.coverage(recording, source.recipe_hash, embedder.engine)
    return Outcome(
        claim,
        result,
        metadata={
            "vectors": coverage.vectors,
            "dimensions": embedder.dimensions,
            "tokens": coverage.tokens,
            "model": engine_line(embedder.engine),
        },
        checks=checks.of_embeddings(coverage),
    )


def _fill_cache(bench: Workbench, claim: Claim, chunk_recipe: str, set_id: int) -> None:
    texts = bench.content.uncached_texts(claim.recording, chunk_recipe, set_id)
    hashes = list(texts)
    for start in range(0, len(hashes), _TEXTS_A_BATCH):
        bench.keep_on()
        batch = hashes[start : start + _TEXTS_A_BATCH]
        vectors = bench.engines.embedder.embed([texts[key] for key in batch])
        bench.content.cache_vectors(claim.recording, set_id, batch, vectors)
        finished = start + len(batch)
        bench.ledger.progress(
            claim, 100 * finished // len(hashes), f"embedded {finished} of {len(hashes)} passages"
        )

"""``embeddings``: a vector for every chunk, in the set of the embedding model."""

from __future__ import annotations

from pipeline_assets import checks
from pipeline_assets.stages import (
    Outcome,
    Turn,
    claimed,
    done,
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
    rows = bench.content.chunks(recording, source.recipe_hash)
    with claimed(bench, recording, recipe, inputs, turn, detail="embedding") as claim:
        if not claim.done:
            set_id = bench.content.embedding_set(embedder.engine, embedder.dimensions)
            _fill_cache(bench, claim, source.recipe_hash, set_id)
            output_hash = content_hash([source.output_hash, recipe.hash])
            with bench.ledger.finish(claim, output_hash=output_hash, usage=Usage()) as (
                connection,
                result_id,
            ):
                bench.ledger.supersede(connection, claim)
                bench.content.put_embeddings(
                    connection, result_id, recording, source.recipe_hash, set_id
                )
    vectors = bench.content.vectors(recording, source.recipe_hash, embedder.engine)
    return Outcome(
        result=done(bench, recording, claim),
        recipe=recipe,
        inputs=inputs,
        unchanged=claim.done is not None,
        metadata={
            "vectors": vectors,
            "dimensions": embedder.dimensions,
            "tokens": sum(row["token_count"] for row in rows),
            "model": engine_line(embedder.engine),
        },
        checks=checks.of_embeddings(vectors, len(rows)),
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

"""The recipe that each stage would use today, per engine selection and embedding set.

Also compares recipes. The recipes of stored results are read in
``playhead/postgres/pipeline/plans.py``.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress

from pipeline_assets.assets import chunks, document, embeddings, raw_media, transcript
from playhead.core.errors import ModelUnavailable
from playhead.core.records import FREE, EngineSelection, Json
from playhead.core.settings import Settings
from playhead.engines.registry import Engines
from playhead.postgres.pipeline.plans import DesiredRecipe
from playhead.services.context import EmbeddingTarget, PipelineServices


def desired_recipes(services: PipelineServices) -> list[DesiredRecipe]:
    """Return the recipes that a run would use now.

    Engine selections whose engine is unavailable are left out.
    """
    targets, recipes = services.embedding_targets(), []
    for selection in services.pipeline.recordings.engine_selections():
        with suppress(ModelUnavailable):
            recipes += list(_desired_for(services.settings, services.engines, targets, selection))
    return recipes


def _desired_for(
    settings: Settings,
    engines: Engines,
    targets: Sequence[EmbeddingTarget],
    selection: EngineSelection,
) -> Iterator[DesiredRecipe]:
    transcriber, writer = engines.transcriber_for(selection), engines.writer_for(selection)
    yield DesiredRecipe(selection, 0, raw_media.RECIPE, FREE)
    yield DesiredRecipe(selection, 0, transcript.recipe(transcriber), transcriber.price)
    yield DesiredRecipe(selection, 0, document.recipe(writer), writer.price)
    for target in targets:
        chunk_recipe = chunks.recipe(settings, selection.kind, target.embedder)
        yield DesiredRecipe(selection, target.embedding_set.id, chunk_recipe, FREE)
        embedding_recipe = embeddings.recipe(target.embedder)
        yield DesiredRecipe(
            selection, target.embedding_set.id, embedding_recipe, target.embedder.price
        )


def changed_parts(before: Json, now: Json) -> tuple[str, ...]:
    """Return the names of the parts that differ between two recipes."""
    parts = [part for part in ("engine", "model", "code_version") if before[part] != now[part]]
    old, new = before["parameters"], now["parameters"]
    if old.get("prompt") != new.get("prompt"):
        parts.append("prompt")
    names = (old.keys() | new.keys()) - {"prompt"}
    if any(old.get(name) != new.get(name) for name in names):
        parts.append("parameters")
    return tuple(part.replace("code_version", "code") for part in parts)

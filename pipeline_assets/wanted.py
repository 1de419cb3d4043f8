"""What should be: the recipe of every stage today, by kind of recording and set, and which part
of a recipe moved. What is, the ledger knows (``resources/postgres/plans.py``)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pipeline_assets import chunks, document, embeddings, raw_media, transcript
from resources.engines import Engines
from resources.postgres.plans import Wanted
from resources.records import KINDS, Json
from resources.settings import Settings
from resources.workbench import Lane, Workbench


def wanted_now(bench: Workbench) -> list[Wanted]:
    """The recipes that a run would use now."""
    return list(_wanted(bench.settings, bench.engines, bench.lanes()))


def _wanted(settings: Settings, engines: Engines, lanes: Sequence[Lane]) -> Iterator[Wanted]:
    shared = (raw_media.RECIPE, transcript.recipe(engines), document.recipe(engines))
    for kind in KINDS:
        for recipe in shared:
            yield Wanted(kind, 0, recipe)
        for lane in lanes:
            yield Wanted(kind, lane.set.id, chunks.recipe(settings, kind, lane.embedder))
            yield Wanted(kind, lane.set.id, embeddings.recipe(lane.embedder))


def moved(before: Json, now: Json) -> tuple[str, ...]:
    """Which parts of a recipe are no longer the same."""
    parts = [part for part in ("engine", "model", "code_version") if before[part] != now[part]]
    old, new = before["parameters"], now["parameters"]
    if old.get("prompt") != new.get("prompt"):
        parts.append("prompt")
    names = (old.keys() | new.keys()) - {"prompt"}
    if any(old.get(name) != new.get(name) for name in names):
        parts.append("parameters")
    return tuple(part.replace("code_version", "code") for part in parts)

"""The schedule's model change: what ``playhead models`` does, by the clock.

Where settings name another embedder than the one that is searched, its set is begun, and once
it is complete and passes the gate it is searched. What a person left by ``rollback`` is not
switched to again. Sets that are kept are kept complete. Not here: how each is done
(``resources/model_change.py``).
"""

from collections.abc import Iterator

import dagster as dg

from resources.errors import PlayheadError
from resources.model_change import ModelChange
from resources.postgres.sets import EmbeddingSet, same_engine
from resources.workbench import Workbench

AUTHOR = "schedule"


@dg.op(out=dg.Out(dg.Nothing), description=__doc__)
def change_model(
    context: dg.OpExecutionContext, workbench: dg.ResourceParam[Workbench]
) -> Iterator[dg.Output[None]]:
    change = ModelChange(workbench, workbench.engines.embedders)
    for step in _steps(workbench, change):
        context.log.info(step)
    yield dg.Output(None)


def anything_to_do(bench: Workbench) -> bool:
    """Whether the job is worth a run: a set is wanted, unbuilt, or no longer complete."""
    live = bench.sets.live()
    if not live:
        return False  # the first recording makes the first set
    return (
        _wanted(bench, live) is None
        or any(_to_be_judged(bench, one) for one in live)
        or any(one.state != "active" and bench.sets.progress(one).lacking for one in live)
    )


def _steps(bench: Workbench, change: ModelChange) -> Iterator[str]:
    name = change.embedders.default
    live = bench.sets.live()
    if live and _wanted(bench, live) is None:
        added = change.add(name, author=AUTHOR, confirmed_usd=None)
        yield f"Set {added.id} ({name}) is begun, since settings name it."
    for one in bench.sets.live():
        if one.state != "active" and bench.sets.progress(one).lacking:
            plan = change.build(one, author=AUTHOR, usd=0.0, confirmed_usd=None)
            yield f"Set {one.id} lacks recordings." + (f" Plan {plan.id}." if plan else "")
        elif _to_be_judged(bench, one):
            yield _try_to_activate(change, one)


def _try_to_activate(change: ModelChange, one: EmbeddingSet) -> str:
    try:
        verdict = change.activate(one)
    except PlayheadError as error:
        return f"{error} {error.remedy}"
    return f"Set {one.id} is searched now: {verdict}"


def _wanted(bench: Workbench, live: list[EmbeddingSet]) -> EmbeddingSet | None:
    """The set of the embedder that settings name."""
    embedders = bench.engines.embedders
    engine = embedders.named(embedders.default).engine
    return next((one for one in live if same_engine(one, engine)), None)


def _to_be_judged(bench: Workbench, one: EmbeddingSet) -> bool:
    """Complete for the first time, wanted by settings, and not yet found wanting."""
    wanted = _wanted(bench, [one]) is not None
    fresh = one.state == "building" and one.activated_at is None and one.gate is None
    return wanted and fresh and not bench.sets.progress(one).lacking

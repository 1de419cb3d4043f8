"""The schedule's model change: what ``playhead models`` does, by the clock.

Where settings name another embedder than the one that is searched, its set is begun, and once
it is complete and passes the gate it is searched. What a person left by ``rollback`` is not
switched to again. Sets that are kept are kept complete. Not here: how each is done
(``playhead/services/model_switch.py``).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal

import dagster as dg

from playhead.core.errors import PlayheadError
from playhead.postgres.pipeline.plans import Plan
from playhead.postgres.search.embedding_sets import EmbeddingSet, same_engine
from playhead.services.context import PipelineServices
from playhead.services.model_switch import ModelSwitch

AUTHOR = "schedule"
_PAUSE = timedelta(hours=1)


@dg.op(out=dg.Out(dg.Nothing), description=__doc__)
def switch_model(
    context: dg.OpExecutionContext, playhead: dg.ResourceParam[PipelineServices]
) -> Iterator[dg.Output[None]]:
    change = ModelSwitch(playhead, playhead.engines.embedders)
    for one in pending_steps(playhead):
        try:
            context.log.info(_take_step(change, one))
        except PlayheadError as error:
            context.log.error(f"{error} {error.remedy}")
    yield dg.Output(None)


@dataclass(frozen=True, slots=True)
class Step:
    """``begin`` a set of the embedder that settings name; ``build`` what a set lacks; ``judge`` a
    set that is complete, and search it if it passes."""

    what: Literal["begin", "build", "judge"]
    set: EmbeddingSet | None = None


def pending_steps(services: PipelineServices) -> list[Step]:
    """What is to be done now; nothing before the first recording made the first set."""
    live = services.search.embedding_sets.live()
    steps = [Step("begin")] if live and _desired_set(services, live) is None else []
    latest = {
        plan.set_id: plan for plan in services.pipeline.plans.all()
    }  # in the order they were opened
    for one in live:
        if one.state == "active":
            continue
        if services.search.embedding_sets.progress(one).lacking:
            if _may_build(latest.get(one.id)):
                steps.append(Step("build", one))
        elif _needs_evaluation(services, one):
            steps.append(Step("judge", one))
    return steps


def _take_step(change: ModelSwitch, step: Step) -> str:
    if step.set is None:
        added = change.add(change.embedders.default, author=AUTHOR, confirmed_usd=None)
        return f"Set {added.id} ({added.name}) is begun, since settings name it."
    if step.what == "build":
        change.build(step.set, author=AUTHOR, confirmed_usd=None)
        return f"Set {step.set.id} lacks recordings, which are made."
    return f"Set {step.set.id} is searched now: {change.activate(step.set)}"


def _may_build(latest: Plan | None) -> bool:
    """Not while a plan builds it, nor after a person cancelled that; and what a plan left, since it
    failed, is tried again after a while."""
    if latest is None or latest.ended_at is None:
        return latest is None
    return latest.state == "done" and datetime.now(UTC) - latest.ended_at > _PAUSE


def _desired_set(services: PipelineServices, live: list[EmbeddingSet]) -> EmbeddingSet | None:
    """The set of the embedder that settings name."""
    embedders = services.engines.embedders
    engine = embedders.named(embedders.default).engine
    return next((one for one in live if same_engine(one, engine)), None)


def _needs_evaluation(services: PipelineServices, one: EmbeddingSet) -> bool:
    """Wanted by settings, never searched before, and not yet found wanting."""
    fresh = one.state == "building" and one.activated_at is None and one.gate is None
    return fresh and _desired_set(services, [one]) is not None

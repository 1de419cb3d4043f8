"""The scheduled model switch: the same steps as ``playhead models``.

If the settings name another embedder than that of the active set, a set for it is added; once that
set is complete and passes its evaluation, it is activated. A set that a person left by ``rollback``
is not activated again. All live sets are kept complete. The steps are implemented in
``playhead/services/model_switch.py``.
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
    for pending_step in pending_steps(playhead):
        try:
            context.log.info(_take_step(change, pending_step))
        except PlayheadError as error:
            context.log.error(f"{error} {error.remedy}")
    yield dg.Output(None)


@dataclass(frozen=True, slots=True)
class Step:
    """One step of the model switch.

    ``begin`` adds a set for the embedder that the settings name; ``build`` embeds the recordings
    that a set lacks; ``judge`` evaluates a complete set and activates it if it passes.
    """

    action: Literal["begin", "build", "judge"]
    set: EmbeddingSet | None = None


def pending_steps(services: PipelineServices) -> list[Step]:
    """Return the steps to take now.

    There are none before the first recording has created the first set.
    """
    live = services.search.embedding_sets.live()
    steps = [Step("begin")] if live and _desired_set(services, live) is None else []
    latest = {
        plan.set_id: plan for plan in services.pipeline.plans.all()
    }  # plans are in the order of their creation
    for embedding_set in live:
        if embedding_set.state == "active":
            continue
        if services.search.embedding_sets.progress(embedding_set).lacking:
            if _may_build(latest.get(embedding_set.id)):
                steps.append(Step("build", embedding_set))
        elif _needs_evaluation(services, embedding_set):
            steps.append(Step("judge", embedding_set))
    return steps


def _take_step(change: ModelSwitch, step: Step) -> str:
    if step.set is None:
        added = change.add(change.embedders.default, author=AUTHOR, confirmed_usd=None)
        return f"Set {added.id} ({added.name}) was created, since the settings name it."
    if step.action == "build":
        change.build(step.set, author=AUTHOR, confirmed_usd=None)
        return f"Set {step.set.id} lacks recordings; they are embedded now."
    return f"Set {step.set.id} is active now: {change.activate(step.set)}"


def _may_build(latest: Plan | None) -> bool:
    """Return True if no plan builds the set, and no person cancelled its latest plan.

    If recordings are still missing when a plan is done, because they failed, building is tried
    again after an hour.
    """
    if latest is None or latest.ended_at is None:
        return latest is None
    return latest.state == "done" and datetime.now(UTC) - latest.ended_at > _PAUSE


def _desired_set(services: PipelineServices, live: list[EmbeddingSet]) -> EmbeddingSet | None:
    """Return the set of the embedder that the settings name, or None."""
    embedders = services.engines.embedders
    engine = embedders.named(embedders.default).engine
    return next(
        (embedding_set for embedding_set in live if same_engine(embedding_set, engine)), None
    )


def _needs_evaluation(services: PipelineServices, embedding_set: EmbeddingSet) -> bool:
    """Return True if the settings want this set and it was not evaluated or activated yet."""
    fresh = (
        embedding_set.state == "building"
        and embedding_set.activated_at is None
        and embedding_set.gate is None
    )
    return fresh and _desired_set(services, [embedding_set]) is not None

"""Switch the embedding model without downtime.

A second set is built beside the active one and evaluated; activating it, and rolling back, changes
one row. Used by ``playhead models`` and the schedule.
"""

from __future__ import annotations

from dataclasses import dataclass

from playhead.core.call_context import CallContext, call_context
from playhead.core.errors import InvalidEngineOutput
from playhead.core.settings import current_engine_name
from playhead.core.spend_confirmation import require_confirmation
from playhead.engines.registry import EmbedderRegistry
from playhead.postgres.pipeline.plans import Plan, Scope
from playhead.postgres.search.embedding_sets import EmbeddingSet, InvalidSetState
from playhead.services.context import Services
from playhead.services.set_evaluation import Evaluation, evaluate, require_passed


@dataclass(frozen=True, slots=True)
class ModelSwitch:
    """Adds, builds, evaluates, activates and retires embedding sets."""

    services: Services
    embedders: EmbedderRegistry

    def add(self, name: str, *, author: str, confirmed_usd: float | None) -> EmbeddingSet:
        """Add a set for this embedder and open the plan that builds it.

        Raises ``ModelUnavailable`` for an unknown name, ``InvalidEngineOutput`` if the model's
        vectors do not have the dimensions it declares, and ``CostNotConfirmed``.
        """
        name, embedder = current_engine_name(name), self.embedders.named(name)
        with call_context(CallContext(self.services.settings.org, "model check")):
            shape = embedder.embed(["Is this model as it says?"]).shape
        if shape != (1, embedder.dimensions):
            raise InvalidEngineOutput(
                f"{name} declares {embedder.dimensions} dimensions, but returned an array of "
                f"{shape}.",
                remedy="Check the model; nothing was changed.",
            )
        ready = self.services.pipeline.recordings.ready()
        self._agreed_price(name, ready, confirmed_usd)  # raises before anything is embedded
        added = self.services.search.embedding_sets.add(name, embedder.engine, embedder.dimensions)
        self.build(added, author=author, confirmed_usd=confirmed_usd)
        return added

    def build(
        self, embedding_set: EmbeddingSet, *, author: str, confirmed_usd: float | None
    ) -> Plan | None:
        """Open a plan that embeds the recordings the set lacks.

        Returns None if a plan is open already or the set is active. Raises ``CostNotConfirmed``.
        """
        if embedding_set.state == "active":
            return None
        lacking = self.services.search.embedding_sets.progress(embedding_set).lacking
        return self.services.pipeline.plans.open(
            Scope(stages=("chunks", "embeddings")),
            author=author,
            estimated_usd=self._agreed_price(embedding_set.name, lacking, confirmed_usd),
            confirmed_usd=confirmed_usd,
            set_id=embedding_set.id,
        )

    def evaluate(self, embedding_set: EmbeddingSet) -> Evaluation:
        """Return the evaluation of a set, after building its indexes if it needs any."""
        self.services.search.vector_indexes.maintain(embedding_set)
        return evaluate(
            embedding_set,
            self.services.search.embedding_sets,
            self.services.search.chunks,
            self.embedders,
        )

    def activate(self, embedding_set: EmbeddingSet) -> Evaluation:
        """Make search use this set and return its evaluation.

        Raises ``EvaluationFailed`` with every fault.
        """
        evaluation = self.evaluate(embedding_set)
        require_passed(evaluation, embedding_set)
        self.services.search.embedding_sets.activate(embedding_set)
        return evaluation

    def rollback(self) -> EmbeddingSet:
        """Activate the set again that was active before, and return it.

        It is not evaluated again, since it passed once, but it must not lack a recording. Raises
        ``InvalidSetState`` if there is no such set.
        """
        standby = [
            embedding_set
            for embedding_set in self.services.search.embedding_sets.live()
            if embedding_set.state == "standby"
        ]
        if not standby:
            raise InvalidSetState(
                "There is no set to roll back to.", remedy="`playhead models list` shows the sets."
            )
        previous = max(
            standby,
            key=lambda embedding_set: embedding_set.activated_at or embedding_set.created_at,
        )
        self.services.search.embedding_sets.activate(previous)
        return previous

    def retire(self, embedding_set: EmbeddingSet) -> None:
        """Delete a set's vectors and indexes and cancel the plan that builds it."""
        for plan in self.services.pipeline.plans.under_way():
            if plan.set_id == embedding_set.id:
                self.services.pipeline.plans.cancel(plan.id)
        self.services.search.embedding_sets.retire(embedding_set)

    def _agreed_price(self, name: str, recordings: int, confirmed_usd: float | None) -> float:
        """Return the price of embedding this many recordings, in US dollars.

        Raises ``CostNotConfirmed`` if it needs a confirmation that was not given.
        """
        averages, price = self.services.pipeline.plans.averages(), self.embedders.named(name).price
        usd = price.cost_usd(
            calls=recordings * averages.embedder_calls,
            tokens=recordings * averages.tokens,
            audio_seconds=0.0,
        )
        require_confirmation(usd, confirmed_usd, self.services.settings.confirm_above_usd)
        return usd

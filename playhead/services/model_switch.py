"""Changing the embedding model without downtime: a second set is built beside the one that is
searched, judged, switched to by one row, and can be left again by one row.

What ``playhead models`` and the schedule both do. Not here: building (the plan's runs), judging
(``gate.py``), the rows (``postgres/sets.py``).
"""

from __future__ import annotations

from dataclasses import dataclass

from playhead.core.call_context import CallContext, call_context
from playhead.core.errors import InvalidEngineOutput
from playhead.core.spend_confirmation import require_confirmation
from playhead.engines.registry import EmbedderRegistry
from playhead.postgres.pipeline.plans import Plan, Scope
from playhead.postgres.search.embedding_sets import EmbeddingSet, InvalidSetState
from playhead.services.context import Services
from playhead.services.set_evaluation import Evaluation, evaluate, require_passed


@dataclass(frozen=True, slots=True)
class ModelSwitch:
    """One installation's sets and the models it can make them with."""

    services: Services
    embedders: EmbedderRegistry

    def add(self, name: str, *, author: str, confirmed_usd: float | None) -> EmbeddingSet:
        """Begin a set with this embedder as it is now. Raises ``ModelUnavailable`` for an unknown
        name, ``InvalidResult`` for a model that does not keep its word, ``PriceNotConfirmed``."""
        embedder = self.embedders.named(name)
        with call_context(CallContext(self.services.settings.org, "model check")):
            shape = embedder.embed(["Is this model as it says?"]).shape
        if shape != (1, embedder.dimensions):
            raise InvalidEngineOutput(
                f"{name} says {embedder.dimensions} dimensions and gives an array of {shape}.",
                remedy="Check the model; nothing was changed.",
            )
        ready = self.services.pipeline.recordings.ready()
        self._agreed_price(name, ready, confirmed_usd)  # before anything is embedded for it
        added = self.services.search.embedding_sets.add(name, embedder.engine, embedder.dimensions)
        self.build(added, author=author, confirmed_usd=confirmed_usd)
        return added

    def build(self, one: EmbeddingSet, *, author: str, confirmed_usd: float | None) -> Plan | None:
        """Have what the set lacks made; None where that is under way. Raises
        ``PriceNotConfirmed``."""
        if one.state == "active":
            return None
        lacking = self.services.search.embedding_sets.progress(one).lacking
        return self.services.pipeline.plans.open(
            Scope(stages=("chunks", "embeddings")),
            author=author,
            estimated_usd=self._agreed_price(one.name, lacking, confirmed_usd),
            confirmed_usd=confirmed_usd,
            set_id=one.id,
        )

    def evaluate(self, one: EmbeddingSet) -> Evaluation:
        """The gate's verdict, with the set's indexes built first where it wants any."""
        self.services.search.vector_indexes.maintain(one)
        return evaluate(
            one, self.services.search.embedding_sets, self.services.search.chunks, self.embedders
        )

    def activate(self, one: EmbeddingSet) -> Evaluation:
        """Search this set from now on. Raises ``GateClosed`` with every fault."""
        verdict = self.evaluate(one)
        require_passed(verdict, one)
        self.services.search.embedding_sets.activate(one)
        return verdict

    def rollback(self) -> EmbeddingSet:
        """Search the set again that was searched before; no gate, since it had passed once, but
        never without a recording. Raises ``NotLive`` where there is none."""
        standby = [
            one for one in self.services.search.embedding_sets.live() if one.state == "standby"
        ]
        if not standby:
            raise InvalidSetState("There is no set to go back to.", remedy="playhead models list")
        before = max(standby, key=lambda one: one.activated_at or one.created_at)
        self.services.search.embedding_sets.activate(before)
        return before

    def retire(self, one: EmbeddingSet) -> None:
        """Let go of a set's vectors and indexes; a plan that builds it ends."""
        for plan in self.services.pipeline.plans.under_way():
            if plan.set_id == one.id:
                self.services.pipeline.plans.cancel(plan.id)
        self.services.search.embedding_sets.retire(one)

    def _agreed_price(self, name: str, recordings: int, confirmed_usd: float | None) -> float:
        """Of embedding as many recordings, in US dollars. Raises ``PriceNotConfirmed``."""
        averages, price = self.services.pipeline.plans.averages(), self.embedders.named(name).price
        usd = price.of(
            calls=recordings * averages.embedder_calls,
            tokens=recordings * averages.tokens,
            audio_seconds=0.0,
        )
        require_confirmation(usd, confirmed_usd, self.services.settings.confirm_above_usd)
        return usd

"""Changing the embedding model without downtime: a second set is built beside the one that is
searched, judged, switched to by one row, and can be left again by one row.

What ``playhead models`` and the schedule both do. Not here: building (the plan's runs), judging
(``gate.py``), the rows (``postgres/sets.py``).
"""

from __future__ import annotations

from dataclasses import dataclass

from playhead.core.call_context import Errand, on_errand
from playhead.core.errors import InvalidResult
from playhead.core.spend_confirmation import refuse_unconfirmed
from playhead.engines.registry import Embedders
from playhead.postgres.pipeline.plans import Plan, Scope
from playhead.postgres.search.embedding_sets import EmbeddingSet, NotLive
from playhead.services.context import Rooms
from playhead.services.set_evaluation import Verdict, judge, refuse_closed


@dataclass(frozen=True, slots=True)
class ModelChange:
    """One installation's sets and the models it can make them with."""

    rooms: Rooms
    embedders: Embedders

    def add(self, name: str, *, author: str, confirmed_usd: float | None) -> EmbeddingSet:
        """Begin a set with this embedder as it is now. Raises ``ModelUnavailable`` for an unknown
        name, ``InvalidResult`` for a model that does not keep its word, ``PriceNotConfirmed``."""
        embedder = self.embedders.named(name)
        with on_errand(Errand(self.rooms.settings.org, "model check")):
            shape = embedder.embed(["Is this model as it says?"]).shape
        if shape != (1, embedder.dimensions):
            raise InvalidResult(
                f"{name} says {embedder.dimensions} dimensions and gives an array of {shape}.",
                remedy="Check the model; nothing was changed.",
            )
        ready = self.rooms.catalogue.ready()
        self._agreed_price(name, ready, confirmed_usd)  # before anything is embedded for it
        added = self.rooms.sets.add(name, embedder.engine, embedder.dimensions)
        self.build(added, author=author, confirmed_usd=confirmed_usd)
        return added

    def build(self, one: EmbeddingSet, *, author: str, confirmed_usd: float | None) -> Plan | None:
        """Have what the set lacks made; None where that is under way. Raises
        ``PriceNotConfirmed``."""
        if one.state == "active":
            return None
        lacking = self.rooms.sets.progress(one).lacking
        return self.rooms.plans.open(
            Scope(stages=("chunks", "embeddings")),
            author=author,
            estimated_usd=self._agreed_price(one.name, lacking, confirmed_usd),
            confirmed_usd=confirmed_usd,
            set_id=one.id,
        )

    def judge(self, one: EmbeddingSet) -> Verdict:
        """The gate's verdict, with the set's indexes built first where it wants any."""
        self.rooms.indexes.keep(one)
        return judge(one, self.rooms.sets, self.rooms.passages, self.embedders)

    def activate(self, one: EmbeddingSet) -> Verdict:
        """Search this set from now on. Raises ``GateClosed`` with every fault."""
        verdict = self.judge(one)
        refuse_closed(verdict, one)
        self.rooms.sets.activate(one)
        return verdict

    def rollback(self) -> EmbeddingSet:
        """Search the set again that was searched before; no gate, since it had passed once, but
        never without a recording. Raises ``NotLive`` where there is none."""
        standby = [one for one in self.rooms.sets.live() if one.state == "standby"]
        if not standby:
            raise NotLive("There is no set to go back to.", remedy="playhead models list")
        before = max(standby, key=lambda one: one.activated_at or one.created_at)
        self.rooms.sets.activate(before)
        return before

    def retire(self, one: EmbeddingSet) -> None:
        """Let go of a set's vectors and indexes; a plan that builds it ends."""
        for plan in self.rooms.plans.under_way():
            if plan.set_id == one.id:
                self.rooms.plans.cancel(plan.id)
        self.rooms.sets.retire(one)

    def _agreed_price(self, name: str, recordings: int, confirmed_usd: float | None) -> float:
        """Of embedding as many recordings, in US dollars. Raises ``PriceNotConfirmed``."""
        averages, price = self.rooms.plans.averages(), self.embedders.named(name).price
        usd = price.of(
            calls=recordings * averages.embedder_calls,
            tokens=recordings * averages.tokens,
            audio_seconds=0.0,
        )
        refuse_unconfirmed(usd, confirmed_usd, self.rooms.settings.confirm_above_usd)
        return usd

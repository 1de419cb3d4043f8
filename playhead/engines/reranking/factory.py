"""Names in settings to rerankers. A new one is a line here and a file beside this one."""

from __future__ import annotations

from playhead.core.protocols.reranker import Reranker
from playhead.core.settings import Settings
from playhead.engines.reranking.nearest_sentence import NearestSentence


def build_reranker(settings: Settings) -> Reranker | None:
    """None: passages stay as full text and vectors have put them."""
    return {"none": None, "sentences": NearestSentence()}[settings.reranker]

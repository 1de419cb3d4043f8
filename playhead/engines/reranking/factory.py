"""Build the reranker that the settings name.

A new reranker needs one line here and one module in this package.
"""

from __future__ import annotations

from playhead.core.protocols.reranker import Reranker
from playhead.core.settings import Settings
from playhead.engines.reranking.nearest_sentence import NearestSentence


def build_reranker(settings: Settings) -> Reranker | None:
    """Return the configured reranker, or None to keep the order of full text and vectors."""
    return {"none": None, "sentences": NearestSentence()}[settings.reranker]

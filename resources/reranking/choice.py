"""Names in settings to rerankers. A new one is a line here and a file beside this one."""

from __future__ import annotations

from resources.reranking.protocol import Reranker
from resources.reranking.sentences import NearestSentence
from resources.settings import Settings


def choose_reranker(settings: Settings) -> Reranker | None:
    """None: passages stay as full text and vectors have put them."""
    return {"none": None, "sentences": NearestSentence()}[settings.reranker]

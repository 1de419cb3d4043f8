"""Embedding requests are full but never over a limit; tokens are counted as OpenAI counts them."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from playhead.engines.embedding.openai import LIMITS
from playhead.providers.model_catalog import vector_model
from playhead.providers.openai_tokenizer import BpeTokenizer
from playhead.providers.request_batching import pack_requests

WINDOW = vector_model("text-embedding-3-small", of_openai=True).window_tokens
CL100K = BpeTokenizer("cl100k_base")


def test_request_limits_are_the_documented_ones() -> None:
    assert (LIMITS.texts, LIMITS.tokens, WINDOW) == (2_048, 300_000, 8_192)


def test_requests_never_exceed_a_limit_and_are_nearly_full() -> None:
    """Pack ten thousand requests of texts from one token to the window.

    The last request of each batch takes the rest.
    """
    rng = random.Random(4)
    requests = 0
    while requests < 10_000:
        maximum = rng.choice([1, 20, 150, 500, 2_000, WINDOW])
        sizes = [rng.randint(1, maximum) for _ in range(rng.randint(1, 20_000))]
        batches = list(pack_requests(sizes, LIMITS))
        requests += len(batches)
        assert [i for batch in batches for i in batch] == list(range(len(sizes)))
        sums = [sum(sizes[batch.start : batch.stop]) for batch in batches]
        assert max(sums) <= LIMITS.tokens
        assert max(map(len, batches)) <= LIMITS.texts
        for batch, tokens in zip(batches[:-1], sums, strict=False):
            assert max(len(batch) / LIMITS.texts, tokens / LIMITS.tokens) >= 0.95


def test_no_texts_need_no_request() -> None:
    assert list(pack_requests([], LIMITS)) == []


def test_text_over_the_limit_is_its_own_request() -> None:
    assert list(pack_requests([5, 400_000, 5], LIMITS)) == [range(1), range(1, 2), range(2, 3)]


@settings(deadline=None)  # the vocabulary is loaded by the first
@given(st.text(st.characters(), max_size=200))
def test_token_offsets_cover_every_character(text: str) -> None:
    pairs = CL100K.offsets(text)
    assert len(pairs) == CL100K.count(text)
    assert all(0 <= start < end <= len(text) for start, end in pairs)
    assert [*pairs] == sorted(pairs)
    covered = {i for start, end in pairs for i in range(start, end)}
    assert covered == set(range(len(text)))


@pytest.mark.parametrize(
    ("text", "tokens"),
    [("hello world", 2), ("tiktoken is great!", 6), ("antidisestablishmentarianism", 6)],
)
def test_tokens_are_counted_as_openai_documents(text: str, tokens: int) -> None:
    """Check examples; the last two are from OpenAI's guide to counting tokens."""
    assert CL100K.count(text) == tokens

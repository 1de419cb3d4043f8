"""Hashes of content: equal for equal content, different for any other."""

from __future__ import annotations

import random
from dataclasses import FrozenInstanceError, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from playhead.core.records import STAGES, Engine, Recipe, content_hash, text_hash
from tests.support import factories

TEXTS = st.text(st.characters(exclude_categories=[]))  # lone surrogates too
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | TEXTS,
    lambda inner: st.lists(inner) | st.dictionaries(TEXTS, inner),
    max_leaves=10,
)


def shuffle_keys(value: Any) -> Any:
    """Return the same JSON value with the keys of every object in another order."""
    if isinstance(value, dict):
        items = [(key, shuffle_keys(inner)) for key, inner in value.items()]
        return dict(random.Random(0).sample(items, len(items)))
    return [shuffle_keys(inner) for inner in value] if isinstance(value, list) else value


@given(VALUES)
def test_content_hash_ignores_the_order_of_keys(value: Any) -> None:
    assert content_hash(shuffle_keys(value)) == content_hash(value)


@given(VALUES, VALUES)
def test_content_hash_differs_for_other_content(content: Any, other: Any) -> None:
    assert (content_hash(content) == content_hash(other)) == (
        describe_json(content) == describe_json(other)
    )


def describe_json(value: Any) -> str:
    """Return a JSON value as text that distinguishes 1, 1.0 and true, and ignores key order."""
    if isinstance(value, dict):
        return f"object {sorted((key, describe_json(inner)) for key, inner in value.items())}"
    return (
        f"list {[describe_json(inner) for inner in value]}"
        if isinstance(value, list)
        else repr(value)
    )


def test_content_hash_depends_on_the_order_of_a_list() -> None:
    assert content_hash([1, 2]) != content_hash([2, 1])


def test_content_hash_of_a_tuple_is_that_of_a_list() -> None:
    assert content_hash((1, (2,))) == content_hash([1, [2]])


@given(TEXTS, TEXTS)
def test_text_hash_differs_for_other_text(text: str, other: str) -> None:
    assert (text_hash(text) == text_hash(other)) == (text == other)


def test_hashes_are_sha_256() -> None:
    empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    assert text_hash("") == empty
    assert content_hash(None) == text_hash("null")


def test_text_hash_differs_for_composed_and_decomposed_letters() -> None:
    assert text_hash("\u00e9") != text_hash("e\u0301")


def test_recipe_hash_ignores_the_order_of_parameters() -> None:
    recipe = Recipe("chunks", "1", Engine("chunker", "m", {"size": 500, "overlap": 50}))
    other = Recipe("chunks", "1", Engine("chunker", "m", {"overlap": 50, "size": 500}))
    assert recipe.hash == other.hash


@pytest.mark.parametrize(
    "other",
    [
        Recipe("document", "1", Engine("a", "m", {"size": 1})),
        Recipe("chunks", "2", Engine("a", "m", {"size": 1})),
        Recipe("chunks", "1", Engine("b", "m", {"size": 1})),
        Recipe("chunks", "1", Engine("a", "n", {"size": 1})),
        Recipe("chunks", "1", Engine("a", "m", {"size": 2})),
        Recipe("chunks", "1", Engine("a", "m")),
    ],
)
def test_recipe_hash_differs_for_any_other_part(other: Recipe) -> None:
    assert other.hash != Recipe("chunks", "1", Engine("a", "m", {"size": 1})).hash


def test_record_is_immutable() -> None:
    recording = factories.make_recording()
    with pytest.raises(FrozenInstanceError):
        recording.title = "Another"  # type: ignore[misc]
    assert replace(recording, title="Another").title == "Another"


def test_stages_are_in_data_flow_order() -> None:
    assert STAGES == ("raw_media", "transcript", "document", "chunks", "embeddings")

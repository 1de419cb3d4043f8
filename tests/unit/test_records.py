"""Hashes name content: the same for the same, another for anything else."""

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


def shuffled(value: Any) -> Any:
    """The same JSON value with the keys of every object in another order."""
    if isinstance(value, dict):
        items = [(key, shuffled(inner)) for key, inner in value.items()]
        return dict(random.Random(0).sample(items, len(items)))
    return [shuffled(inner) for inner in value] if isinstance(value, list) else value


@given(VALUES)
def test_a_content_hash_does_not_depend_on_the_order_of_keys(value: Any) -> None:
    assert content_hash(shuffled(value)) == content_hash(value)


@given(VALUES, VALUES)
def test_other_content_has_another_hash(one: Any, other: Any) -> None:
    assert (content_hash(one) == content_hash(other)) == (repr_json(one) == repr_json(other))


def repr_json(value: Any) -> str:
    """A JSON value in Python's own words: tells 1, 1.0 and true apart, key order aside."""
    if isinstance(value, dict):
        return f"object {sorted((key, repr_json(inner)) for key, inner in value.items())}"
    return (
        f"list {[repr_json(inner) for inner in value]}" if isinstance(value, list) else repr(value)
    )


def test_the_order_of_a_list_is_content() -> None:
    assert content_hash([1, 2]) != content_hash([2, 1])


def test_a_tuple_is_the_list_it_comes_back_as() -> None:
    assert content_hash((1, (2,))) == content_hash([1, [2]])


@given(TEXTS, TEXTS)
def test_a_text_hash_tells_texts_apart(one: str, other: str) -> None:
    assert (text_hash(one) == text_hash(other)) == (one == other)


def test_hashes_are_those_of_sha_256() -> None:
    nothing = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    assert text_hash("") == nothing
    assert content_hash(None) == text_hash("null")


def test_composed_and_decomposed_letters_are_different_texts() -> None:
    assert text_hash("\u00e9") != text_hash("e\u0301")


def test_a_recipe_is_the_same_whatever_the_order_of_its_parameters() -> None:
    one = Recipe("chunks", "1", Engine("chunker", "m", {"size": 500, "overlap": 50}))
    other = Recipe("chunks", "1", Engine("chunker", "m", {"overlap": 50, "size": 500}))
    assert one.hash == other.hash


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
def test_whatever_makes_another_result_makes_another_recipe(other: Recipe) -> None:
    assert other.hash != Recipe("chunks", "1", Engine("a", "m", {"size": 1})).hash


def test_a_record_cannot_be_changed_once_made() -> None:
    recording = factories.recording()
    with pytest.raises(FrozenInstanceError):
        recording.title = "Another"  # type: ignore[misc]
    assert replace(recording, title="Another").title == "Another"


def test_the_stages_stand_in_the_order_data_flows() -> None:
    assert STAGES == ("raw_media", "transcript", "document", "chunks", "embeddings")

"""Scopes of roles and tokens, and the format of a token."""

from __future__ import annotations

import pytest

from playhead.core.permissions import SCOPES, effective_scopes, new_token, token_hash


def test_token_scopes_never_exceed_the_members_role() -> None:
    assert effective_scopes("reader", SCOPES) == {"read"}
    assert effective_scopes("editor", ["write", "manage"]) == {"write"}
    assert effective_scopes("reader", ["write"]) == set()


def test_owner_has_every_scope_and_token_only_its_own() -> None:
    assert effective_scopes("owner") == set(SCOPES)
    assert effective_scopes("owner", ["read"]) == {"read"}


def test_token_hash_is_stable_and_unique() -> None:
    token, other = new_token(), new_token()
    assert token_hash(token) == token_hash(token)
    assert token_hash(token) != token_hash(other)


@pytest.mark.parametrize("position", [0, 9, 40, 72, 80])
def test_token_with_one_wrong_character_has_no_hash(position: int) -> None:
    token = new_token()
    wrong = "f" if token[position] != "f" else "0"
    assert token_hash(token[:position] + wrong + token[position + 1 :]) is None


@pytest.mark.parametrize("text", ["", "playhead_", "' or 1=1 --", "\x00", "ünï", "playhead_" * 99])
def test_text_that_is_not_a_token_has_no_hash(text: str) -> None:
    assert token_hash(text) is None

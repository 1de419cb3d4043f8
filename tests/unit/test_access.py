"""What a role and a token's scopes let somebody do, and how a token looks."""

from __future__ import annotations

import pytest

from playhead.core.permissions import SCOPES, effective_scopes, new_token, token_hash


def test_a_token_never_does_more_than_its_member_may_today() -> None:
    assert effective_scopes("reader", SCOPES) == {"read"}
    assert effective_scopes("editor", ["write", "manage"]) == {"write"}
    assert effective_scopes("reader", ["write"]) == set()


def test_an_owner_may_do_everything_and_a_token_of_theirs_only_what_it_is_for() -> None:
    assert effective_scopes("owner") == set(SCOPES)
    assert effective_scopes("owner", ["read"]) == {"read"}


def test_a_token_has_one_fingerprint_and_no_two_are_alike() -> None:
    one, other = new_token(), new_token()
    assert token_hash(one) == token_hash(one)
    assert token_hash(one) != token_hash(other)


@pytest.mark.parametrize("position", [0, 9, 40, 72, 80])
def test_a_token_with_one_wrong_character_is_known_without_the_database(position: int) -> None:
    token = new_token()
    wrong = "f" if token[position] != "f" else "0"
    assert token_hash(token[:position] + wrong + token[position + 1 :]) is None


@pytest.mark.parametrize("text", ["", "playhead_", "' or 1=1 --", "\x00", "ünï", "playhead_" * 99])
def test_what_is_no_token_has_no_fingerprint(text: str) -> None:
    assert token_hash(text) is None

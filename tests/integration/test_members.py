"""Members, their roles, and the tokens by which programs speak for them."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest
from click.testing import CliRunner

from playhead.cli.main import playhead
from playhead.core.errors import NotAuthorised, NotFound
from playhead.core.permissions import new_token
from playhead.postgres.access.members import MemberRefused, Members
from playhead.postgres.access.tokens import Token, Tokens, TooMuchAsked
from playhead.postgres.database import Database


@pytest.fixture
def members(database: Database) -> Members:
    members = Members(database)
    for org in ("acme", "other"):
        members.add_organisation(org)
    members.add("acme", "Ada", "owner")
    return members


@pytest.fixture
def tokens(database: Database, members: Members) -> Tokens:
    return Tokens(database)


def roles(members: Members, org: str = "acme") -> dict[str, str]:
    return {member.name: member.role for member in members.all(org)}


def made(tokens: Tokens, member: str = "Ada") -> tuple[Token, str]:
    return tokens.create("acme", member, "the player", ["read"], None)


def test_two_owners_who_leave_at_once_leave_one(members: Members) -> None:
    members.add("acme", "Bob", "owner")
    refused: list[str] = []

    def leave(name: str) -> None:
        try:
            members.remove("acme", name)
        except MemberRefused:
            refused.append(name)

    threads = [threading.Thread(target=leave, args=(name,)) for name in ("Ada", "Bob")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert list(roles(members)) == refused


def test_the_last_owner_stays_one(members: Members) -> None:
    members.add("acme", "Bob", "editor")
    with pytest.raises(MemberRefused, match="only owner"):
        members.change("acme", "Ada", "reader")
    with pytest.raises(MemberRefused, match="only owner"):
        members.remove("acme", "Ada")
    assert roles(members) == {"Ada": "owner", "Bob": "editor"}


def test_the_same_name_elsewhere_is_somebody_else(members: Members) -> None:
    members.add("other", "Ada", "reader")
    assert roles(members, "other") == {"Ada": "reader"}
    members.remove("other", "Ada")
    assert roles(members) == {"Ada": "owner"}


def test_a_member_is_added_once(members: Members) -> None:
    with pytest.raises(MemberRefused, match="already"):
        members.add("acme", "Ada", "reader")
    assert roles(members) == {"Ada": "owner"}


@pytest.mark.parametrize("name", ["", " Bob", "B\nb", "x" * 201])
def test_a_name_that_cannot_be_printed_names_no_member(members: Members, name: str) -> None:
    with pytest.raises(MemberRefused, match="cannot name"):
        members.add("acme", name, "reader")


@pytest.mark.parametrize("org", ["", "Acme", "a b", "x" * 64, "acme'; drop table members"])
def test_an_organisation_is_named_plainly(members: Members, org: str) -> None:
    with pytest.raises(MemberRefused, match="cannot name"):
        members.add_organisation(org)


def test_an_unknown_organisation_has_no_members_and_takes_none(members: Members) -> None:
    with pytest.raises(NotFound, match="No such organisation"):
        members.add("nobody", "Ada", "owner")
    assert members.all("nobody") == []


def test_a_revoked_token_ends_at_once(tokens: Tokens) -> None:
    token, text = made(tokens)
    assert tokens.bearer(text).member == "Ada"
    tokens.revoke("acme", token.id)
    with pytest.raises(NotAuthorised):
        tokens.bearer(text)


def test_a_token_that_is_over_opens_nothing(tokens: Tokens, database: Database) -> None:
    _, text = tokens.create("acme", "Ada", "for a day", ["read"], 1)
    assert tokens.bearer(text).member == "Ada"
    database.run(b"update api_tokens set expires_at = now()")
    with pytest.raises(NotAuthorised):
        tokens.bearer(text)


def test_the_tokens_of_a_member_who_left_are_gone(tokens: Tokens, members: Members) -> None:
    members.add("acme", "Bob", "reader")
    _, text = made(tokens, "Bob")
    members.remove("acme", "Bob")
    with pytest.raises(NotAuthorised):
        tokens.bearer(text)
    assert tokens.all("acme") == []


def test_a_token_shrinks_with_its_members_role(tokens: Tokens, members: Members) -> None:
    members.add("acme", "Bob", "editor")
    _, text = tokens.create("acme", "Bob", "uploads", ["read", "write"], None)
    assert tokens.bearer(text).scopes == {"read", "write"}
    members.change("acme", "Bob", "reader")
    assert tokens.bearer(text).scopes == {"read"}


def test_a_token_is_not_made_for_more_than_its_member_may(tokens: Tokens, members: Members) -> None:
    members.add("acme", "Bob", "reader")
    with pytest.raises(TooMuchAsked, match="may not manage, write"):
        tokens.create("acme", "Bob", "uploads", ["read", "write", "manage"], None)
    with pytest.raises(NotFound):
        made(tokens, "Nobody")
    assert tokens.all("acme") == []


def test_a_token_tells_its_organisation_and_is_no_others(tokens: Tokens, members: Members) -> None:
    members.add("other", "Ada", "owner")
    token, text = made(tokens)
    assert tokens.bearer(text).org_id == "acme"
    assert tokens.all("other") == []
    with pytest.raises(NotFound):
        tokens.revoke("other", token.id)
    assert tokens.bearer(text).token_id == token.id


def test_a_wrong_token_tells_nothing_of_why(tokens: Tokens) -> None:
    token, text = made(tokens)
    tokens.revoke("acme", token.id)
    told = set()
    for wrong in (text, new_token(), "nonsense", ""):
        with pytest.raises(NotAuthorised) as raised:
            tokens.bearer(wrong)
        told.add(str(raised.value))
    assert len(told) == 1


def test_the_secret_of_a_token_is_nowhere_in_the_database(
    tokens: Tokens, database: Database
) -> None:
    _, text = made(tokens)
    [row] = database.rows(b"select t::text as everything from api_tokens t")
    assert text not in row["everything"]
    assert text.removeprefix("playhead_")[:16] not in row["everything"]


def test_nobody_but_the_owner_of_the_database_compares_secrets(
    tokens: Tokens, database: Database
) -> None:
    made(tokens)
    with pytest.raises(Exception, match="permission denied"):
        database.as_role("acme", "playhead_app").rows(b"select secret_sha256 from api_tokens")
    with pytest.raises(Exception, match="permission denied"):
        database.as_role("acme", "playhead_pipeline").rows(b"select id from api_tokens")


def test_using_a_token_is_noted(tokens: Tokens) -> None:
    _, text = made(tokens)
    assert tokens.all("acme")[0].last_used_at is None
    tokens.bearer(text)
    assert tokens.all("acme")[0].last_used_at is not None


def test_members_and_tokens_are_managed_by_commands(
    fresh_database: Callable[[], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", fresh_database())
    run = CliRunner()

    def told(*arguments: str) -> str:
        result = run.invoke(playhead, arguments, catch_exceptions=False)
        assert result.exit_code == 0, result.output
        return result.output

    told("orgs", "add", "acme")
    told("members", "add", "Ada", "--role", "owner", "--org", "acme")
    assert '"role": "owner"' in told("members", "--org", "acme", "--json")
    text = told("tokens", "create", "Ada", "player", "--org", "acme").splitlines()[-1]
    assert text.startswith("playhead_")
    listed = told("tokens", "--org", "acme")
    assert "Ada: player (read)" in listed
    assert text not in listed
    told("tokens", "revoke", listed.split()[0], "--org", "acme")
    assert "revoked" in told("tokens", "--org", "acme")
    assert "acme  0 recordings, 1 members" in told("orgs")

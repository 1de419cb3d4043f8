"""Members, their roles, and the tokens that programs use for them."""

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


def create_token(tokens: Tokens, member: str = "Ada") -> tuple[Token, str]:
    return tokens.create("acme", member, "the player", ["read"], None)


def test_last_of_two_owners_cannot_be_removed_concurrently(members: Members) -> None:
    members.add("acme", "Bob", "owner")
    refused: list[str] = []

    def remove_member(name: str) -> None:
        try:
            members.remove("acme", name)
        except MemberRefused:
            refused.append(name)

    threads = [threading.Thread(target=remove_member, args=(name,)) for name in ("Ada", "Bob")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert list(roles(members)) == refused


def test_last_owner_cannot_be_changed_or_removed(members: Members) -> None:
    members.add("acme", "Bob", "editor")
    with pytest.raises(MemberRefused, match="only owner"):
        members.change("acme", "Ada", "reader")
    with pytest.raises(MemberRefused, match="only owner"):
        members.remove("acme", "Ada")
    assert roles(members) == {"Ada": "owner", "Bob": "editor"}


def test_member_of_the_same_name_elsewhere_is_independent(members: Members) -> None:
    members.add("other", "Ada", "reader")
    assert roles(members, "other") == {"Ada": "reader"}
    members.remove("other", "Ada")
    assert roles(members) == {"Ada": "owner"}


def test_member_is_added_once(members: Members) -> None:
    with pytest.raises(MemberRefused, match="already"):
        members.add("acme", "Ada", "reader")
    assert roles(members) == {"Ada": "owner"}


@pytest.mark.parametrize("name", ["", " Bob", "B\nb", "x" * 201])
def test_member_name_must_be_printable(members: Members, name: str) -> None:
    with pytest.raises(MemberRefused, match="not a valid name"):
        members.add("acme", name, "reader")


@pytest.mark.parametrize("org", ["", "Acme", "a b", "x" * 64, "acme'; drop table members"])
def test_organisation_name_must_be_plain(members: Members, org: str) -> None:
    with pytest.raises(MemberRefused, match="not a valid name"):
        members.add_organisation(org)


def test_unknown_organisation_has_no_members(members: Members) -> None:
    with pytest.raises(NotFound, match="No such organisation"):
        members.add("nobody", "Ada", "owner")
    assert members.all("nobody") == []


def test_revoked_token_is_rejected_at_once(tokens: Tokens) -> None:
    token, text = create_token(tokens)
    assert tokens.bearer(text).member == "Ada"
    tokens.revoke("acme", token.id)
    with pytest.raises(NotAuthorised):
        tokens.bearer(text)


def test_expired_token_is_rejected(tokens: Tokens, database: Database) -> None:
    _, text = tokens.create("acme", "Ada", "for a day", ["read"], 1)
    assert tokens.bearer(text).member == "Ada"
    database.run(b"update api_tokens set expires_at = now()")
    with pytest.raises(NotAuthorised):
        tokens.bearer(text)


def test_tokens_of_a_removed_member_are_deleted(tokens: Tokens, members: Members) -> None:
    members.add("acme", "Bob", "reader")
    _, text = create_token(tokens, "Bob")
    members.remove("acme", "Bob")
    with pytest.raises(NotAuthorised):
        tokens.bearer(text)
    assert tokens.all("acme") == []


def test_token_scopes_follow_the_members_role(tokens: Tokens, members: Members) -> None:
    members.add("acme", "Bob", "editor")
    _, text = tokens.create("acme", "Bob", "uploads", ["read", "write"], None)
    assert tokens.bearer(text).scopes == {"read", "write"}
    members.change("acme", "Bob", "reader")
    assert tokens.bearer(text).scopes == {"read"}


def test_token_cannot_exceed_the_members_scopes(tokens: Tokens, members: Members) -> None:
    members.add("acme", "Bob", "reader")
    with pytest.raises(TooMuchAsked, match="does not allow: manage, write"):
        tokens.create("acme", "Bob", "uploads", ["read", "write", "manage"], None)
    with pytest.raises(NotFound):
        create_token(tokens, "Nobody")
    assert tokens.all("acme") == []


def test_token_belongs_to_one_organisation(tokens: Tokens, members: Members) -> None:
    members.add("other", "Ada", "owner")
    token, text = create_token(tokens)
    assert tokens.bearer(text).org_id == "acme"
    assert tokens.all("other") == []
    with pytest.raises(NotFound):
        tokens.revoke("other", token.id)
    assert tokens.bearer(text).token_id == token.id


def test_invalid_token_gives_the_same_error_for_every_reason(tokens: Tokens) -> None:
    token, text = create_token(tokens)
    tokens.revoke("acme", token.id)
    errors = set()
    for wrong in (text, new_token(), "nonsense", ""):
        with pytest.raises(NotAuthorised) as raised:
            tokens.bearer(wrong)
        errors.add(str(raised.value))
    assert len(errors) == 1


def test_token_secret_is_not_in_the_database(tokens: Tokens, database: Database) -> None:
    _, text = create_token(tokens)
    [row] = database.rows(b"select t::text as everything from api_tokens t")
    assert text not in row["everything"]
    assert text.removeprefix("playhead_")[:16] not in row["everything"]


def test_token_hashes_are_hidden_from_roles(tokens: Tokens, database: Database) -> None:
    create_token(tokens)
    with pytest.raises(Exception, match="permission denied"):
        database.as_role("acme", "playhead_app").rows(b"select secret_sha256 from api_tokens")
    with pytest.raises(Exception, match="permission denied"):
        database.as_role("acme", "playhead_pipeline").rows(b"select id from api_tokens")


def test_token_use_is_recorded(tokens: Tokens) -> None:
    _, text = create_token(tokens)
    assert tokens.all("acme")[0].last_used_at is None
    tokens.bearer(text)
    assert tokens.all("acme")[0].last_used_at is not None


def test_members_and_tokens_are_managed_by_commands(
    fresh_database: Callable[[], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", fresh_database())
    run = CliRunner()

    def run_command(*arguments: str) -> str:
        result = run.invoke(playhead, arguments, catch_exceptions=False)
        assert result.exit_code == 0, result.output
        return result.output

    run_command("orgs", "add", "acme")
    run_command("members", "add", "Ada", "--role", "owner", "--org", "acme")
    assert '"role": "owner"' in run_command("members", "--org", "acme", "--json")
    text = run_command("tokens", "create", "Ada", "player", "--org", "acme").splitlines()[-1]
    assert text.startswith("playhead_")
    listing = run_command("tokens", "--org", "acme")
    assert "Ada: player (read)" in listing
    assert text not in listing
    run_command("tokens", "revoke", listing.split()[0], "--org", "acme")
    assert "revoked" in run_command("tokens", "--org", "acme")
    assert "acme  0 recordings, 1 members" in run_command("orgs")

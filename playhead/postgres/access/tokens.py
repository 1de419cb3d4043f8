"""API tokens: create, list, revoke and authenticate.

A token is looked up before its organisation is known, therefore by the owner role, and in the
database every time: a token that is revoked, expired, or whose member was removed stops working at
once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from psycopg.rows import DictRow

from playhead.core.errors import ConfigurationError, NotAuthorised, NotFound
from playhead.core.ids import parse_uuid
from playhead.core.permissions import MemberRole, Scope, effective_scopes, new_token, token_hash
from playhead.postgres.access.members import no_member
from playhead.postgres.database import Database, Organisation, queries

_SQL = queries("tokens")


@dataclass(frozen=True, slots=True)
class Token:
    """An API token without its secret. ``name`` says what it is used for."""

    id: str
    member: str
    name: str
    scopes: list[Scope]
    created_at: datetime
    last_used_at: datetime | None
    expires_at: datetime | None
    revoked_at: datetime | None


@dataclass(frozen=True, slots=True)
class Bearer:
    """The member behind a token, and the scopes that apply."""

    org_id: str
    member: str
    role: MemberRole
    scopes: frozenset[Scope]
    token_id: str


class TooMuchAsked(ConfigurationError):
    """A token requests scopes that its member's role does not have."""


class Tokens:
    """Stores API tokens. Safe for use by several threads."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def create(
        self, org_id: str, member: str, name: str, scopes: Sequence[Scope], days: int | None
    ) -> tuple[Token, str]:
        """Create a token. Returns it with the secret, which is shown only once.

        Without ``days`` it never expires. Raises ``NotFound`` if the member does not exist, and
        ``TooMuchAsked``.
        """
        token = new_token()
        with self._within(org_id).transaction() as connection:
            member_key = {"org_id": org_id, "member": member}
            found = connection.execute(_SQL["member"], member_key).fetchone()
            if found is None:
                raise no_member(member)
            if excess := sorted(set(scopes) - effective_scopes(found["role"])):
                raise TooMuchAsked(
                    f"The role {found['role']} of {member} does not allow: {', '.join(excess)}.",
                    remedy="Request fewer scopes, or change the role: playhead members role",
                )
            values = member_key | {"name": name, "scopes": list(scopes), "days": days}
            secret = {"secret_sha256": token_hash(token)}
            [row] = connection.execute(_SQL["create"], values | secret).fetchall()
        return _token(row), token

    def all(self, org_id: str) -> list[Token]:
        """Return all tokens, including revoked ones, oldest first."""
        return [_token(row) for row in self._within(org_id).rows(_SQL["tokens"], org_id=org_id)]

    def revoke(self, org_id: str, identity: str) -> None:
        """Revoke a token. Raises ``NotFound``, also if it is already revoked."""
        token = parse_uuid(identity)
        if not token or not self._within(org_id).run(_SQL["revoke"], org_id=org_id, id=token):
            raise _missing(identity)

    def bearer(self, token: str) -> Bearer:
        """Authenticate a token. Raises ``NotAuthorised``, which does not say why."""
        sha256 = token_hash(token)
        row = self._database.row(_SQL["bearer"], secret_sha256=sha256) if sha256 else None
        if row is None:
            raise NotAuthorised("This token is not valid.", remedy="Ask an owner for a new one.")
        scopes = effective_scopes(row["role"], row["scopes"])
        return Bearer(row["org_id"], row["member"], row["role"], scopes, str(row["id"]))

    def _within(self, org_id: str) -> Organisation:
        return self._database.as_role(org_id, "playhead_app")


def _token(row: DictRow) -> Token:
    return Token(**row | {"id": str(row["id"])})


def _missing(identity: str) -> NotFound:
    return NotFound(f"No such token: {identity}.", remedy="`playhead tokens` lists them.")

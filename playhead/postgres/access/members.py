"""Organisations and their members. An organisation that has owners always keeps at least one."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import psycopg

from playhead.core.errors import ConfigurationError, NotFound
from playhead.core.permissions import MemberRole
from playhead.postgres.database import Connection, Database, Organisation, queries

_SQL = queries("members")


@dataclass(frozen=True, slots=True)
class OrganisationFacts:
    """An organisation with the numbers of its ``recordings`` and ``members``."""

    id: str
    created_at: datetime
    recordings: int
    members: int


@dataclass(frozen=True, slots=True)
class Member:
    """A member of an organisation, identified by name."""

    name: str
    role: MemberRole
    created_at: datetime


class MemberRefused(ConfigurationError):
    """The name is invalid or taken, or the last owner would be removed."""


class Members:
    """Stores which members belong to which organisation."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def organisations(self) -> list[OrganisationFacts]:
        """Return all organisations. For operators."""
        return [OrganisationFacts(**row) for row in self._database.rows(_SQL["organisations"])]

    def add_organisation(self, org_id: str) -> bool:
        """Add an organisation and return True if it is new.

        Raises ``MemberRefused`` for an invalid name.
        """
        try:
            return bool(self._database.run(_SQL["add_organisation"], org_id=org_id))
        except psycopg.errors.CheckViolation:
            raise MemberRefused(
                f"{org_id!r} is not a valid name of an organisation.",
                remedy="Use up to 63 of a-z, 0-9, _ and -, starting with a letter or digit.",
            ) from None

    def require_organisation(self, org_id: str) -> None:
        """Raise ``NotFound`` if there is no such organisation."""
        if self._within(org_id).row(_SQL["organisation"], org_id=org_id) is None:
            raise _no_organisation(org_id)

    def all(self, org_id: str) -> list[Member]:
        rows = self._within(org_id).rows(_SQL["members"], org_id=org_id)
        return [Member(**row) for row in rows]

    def add(self, org_id: str, name: str, role: MemberRole) -> None:
        """Add a member. Raises ``MemberRefused`` or ``NotFound``."""
        values = {"org_id": org_id, "name": name, "role": role}
        try:
            added = self._within(org_id).run(_SQL["add"], **values)
        except psycopg.errors.ForeignKeyViolation:
            raise _no_organisation(org_id) from None
        except psycopg.errors.CheckViolation:
            raise MemberRefused(
                f"{name!r} is not a valid name of a member.",
                remedy="Use up to 200 printable characters, without spaces at either end.",
            ) from None
        if not added:
            raise MemberRefused(
                f"{name} is already a member.", remedy=f"playhead members role {name} {role}"
            )

    def change(self, org_id: str, name: str, role: MemberRole) -> None:
        """Change a member's role. Raises ``NotFound``, or ``MemberRefused`` for the last owner."""
        with self._within(org_id).transaction() as connection:
            if role != "owner":
                _keep_an_owner(connection, org_id, name)
            values = {"org_id": org_id, "name": name, "role": role}
            if not connection.execute(_SQL["change"], values).rowcount:
                raise no_member(name)

    def remove(self, org_id: str, name: str) -> None:
        """Remove a member and revoke all their tokens. Raises the same errors as ``change``."""
        with self._within(org_id).transaction() as connection:
            _keep_an_owner(connection, org_id, name)
            if not connection.execute(_SQL["remove"], {"org_id": org_id, "name": name}).rowcount:
                raise no_member(name)

    def _within(self, org_id: str) -> Organisation:
        return self._database.as_role(org_id, "playhead_app")


def no_member(name: str) -> NotFound:
    return NotFound(f"No such member: {name}.", remedy="`playhead members` lists them.")


def _no_organisation(org_id: str) -> NotFound:
    return NotFound(
        f"No such organisation: {org_id}.",
        remedy=f"`playhead orgs` lists them; `playhead orgs add {org_id}` creates it.",
    )


def _keep_an_owner(connection: Connection, org_id: str, name: str) -> None:
    """Check that another owner exists.

    The owners stay locked, so that two cannot leave at the same time.
    """
    owners = [row["name"] for row in connection.execute(_SQL["owners"], {"org_id": org_id})]
    if owners == [name]:
        raise MemberRefused(
            f"{name} is the only owner.", remedy="Make another member an owner first."
        )

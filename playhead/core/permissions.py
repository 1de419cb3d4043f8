"""Roles of members, scopes of tokens, and the format of tokens, as pure functions.

Members and tokens are stored by ``playhead/postgres/access/members.py`` and ``tokens.py``.
"""

from __future__ import annotations

import hashlib
import re
import secrets
import zlib
from collections.abc import Iterable
from typing import Literal, get_args

MemberRole = Literal["reader", "editor", "owner"]
#: read: search, answers, lists, exports. write: recordings, corrections, names. manage: members,
#: tokens, money.
Scope = Literal["read", "write", "manage"]

ROLES: tuple[MemberRole, ...] = get_args(MemberRole)
SCOPES: tuple[Scope, ...] = get_args(Scope)

_ALLOWED: dict[MemberRole, frozenset[Scope]] = {
    "reader": frozenset({"read"}),
    "editor": frozenset({"read", "write"}),
    "owner": frozenset(SCOPES),
}
_TOKEN = re.compile(r"playhead_([0-9a-f]{64})([0-9a-f]{8})")


def effective_scopes(role: MemberRole, scopes: Iterable[Scope] = SCOPES) -> frozenset[Scope]:
    """Return the scopes of a member with this role who uses a token with these scopes.

    They never exceed the role that the member has today, whatever role the member had when the
    token was created.
    """
    return _ALLOWED[role].intersection(scopes)


def new_token() -> str:
    """Return a new token: ``playhead_``, 256 random bits in hex, and their CRC-32.

    The prefix makes a leaked token recognisable. The checksum detects a mistyped token without a
    database query.
    """
    secret = secrets.token_hex(32)
    return f"playhead_{secret}{_checksum(secret)}"


def token_hash(token: str) -> bytes | None:
    """Return the sha-256 (32 bytes) of a token, which is stored instead of it.

    Returns None if the text cannot be a token.
    """
    match = _TOKEN.fullmatch(token)
    if match is None or match[2] != _checksum(match[1]):
        return None
    return hashlib.sha256(token.encode()).digest()


def _checksum(secret: str) -> str:
    return f"{zlib.crc32(secret.encode()):08x}"

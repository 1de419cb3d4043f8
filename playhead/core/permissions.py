"""Who may do what: the roles of members, the scopes of tokens, and what a token looks like.

Pure. Not here: who is a member and which tokens there are (``playhead/postgres/access/members.py``,
``tokens.py``), asking (the face).
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
    """What a member of this role may do, with a token of these scopes: never more than the role
    has today, whatever it had when the token was made."""
    return _ALLOWED[role].intersection(scopes)


def new_token() -> str:
    """``playhead_``, 256 random bits in hex, and their CRC-32: recognised where it has leaked, and
    a mistyped one without a look at the database."""
    secret = secrets.token_hex(32)
    return f"playhead_{secret}{_checksum(secret)}"


def token_hash(token: str) -> bytes | None:
    """What is kept of a token: its sha-256, 32 bytes. None for what cannot be one."""
    match = _TOKEN.fullmatch(token)
    if match is None or match[2] != _checksum(match[1]):
        return None
    return hashlib.sha256(token.encode()).digest()


def _checksum(secret: str) -> str:
    return f"{zlib.crc32(secret.encode()):08x}"

"""Partition keys that a person can read: ``<date>-<slug of the title>-<end of the id>``.

A key is created once, when its recording is registered, and never changes: a title that is edited
later keeps the old slug (docs/decisions/0020-partition-keys.md).
"""

from __future__ import annotations

import re
from datetime import date
from typing import Final

from anyascii import anyascii

MAX_SLUG_CHARACTERS: Final = 40
#: Hexadecimal digits from the random end of a recording's id.
ID_CHARACTERS: Final = 8

_MAX_TITLE_CHARACTERS: Final = 200  # transliterated characters; more never reach the slug
_SEPARATORS: Final = re.compile("[^a-z0-9]+")


def build_partition_key(added_on: date, title: str, recording_id: str, *, with_title: bool) -> str:
    """Return the partition key of a new recording.

    ``with_title`` False leaves the slug out, for places where titles are confidential. A title
    without any letter or digit gives no slug either.
    """
    parts = [added_on.isoformat(), slugify(title) if with_title else "", id_suffix(recording_id)]
    return "-".join(part for part in parts if part)


def slugify(title: str) -> str:
    """Return ``title`` in ``[a-z0-9-]``, transliterated, at most 40 characters; may be empty."""
    plain = anyascii(title[:_MAX_TITLE_CHARACTERS]).lower()
    slug = _SEPARATORS.sub("-", plain).strip("-")
    if len(slug) <= MAX_SLUG_CHARACTERS:
        return slug
    cut = slug[: MAX_SLUG_CHARACTERS + 1]
    # Truncate at the end of a word if one is near, so that the last word is complete.
    head, separator, _ = cut.rpartition("-")
    return head if separator and len(head) > MAX_SLUG_CHARACTERS // 2 else cut[:-1]


def id_suffix(recording_id: str) -> str:
    """Return the last characters of a recording's id, which are random."""
    return recording_id[-ID_CHARACTERS:]

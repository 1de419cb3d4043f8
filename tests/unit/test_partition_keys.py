"""Partition keys are readable, harmless and stable."""

import re
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from playhead.core.partition_keys import build_partition_key, slugify

ID = "01a20158-89c8-7180-8284-f5a7374d9ee8"
DAY = date(2026, 12, 1)


def make_key(title: str, *, with_title: bool = True) -> str:
    return build_partition_key(DAY, title, ID, with_title=with_title)


@pytest.mark.parametrize(
    ("title", "expected"),
    [
        ("Kennedy: inaugural address", "2026-12-01-kennedy-inaugural-address-374d9ee8"),
        ("Besprechung über Größe", "2026-12-01-besprechung-uber-grosse-374d9ee8"),
        ("ｶﾀｶﾅ", "2026-12-01-katakana-374d9ee8"),
        ("😀 launch", "2026-12-01-grinning-launch-374d9ee8"),
        ("../../etc/passwd", "2026-12-01-etc-passwd-374d9ee8"),
        ("Ann <ann@example.org>", "2026-12-01-ann-ann-example-org-374d9ee8"),
        ("", "2026-12-01-374d9ee8"),
        ("…!?", "2026-12-01-374d9ee8"),
        ("\ud800'; drop table runs; --\x00", "2026-12-01-drop-table-runs-374d9ee8"),
    ],
)
def test_key_of_an_odd_title_is_readable_and_harmless(title: str, expected: str) -> None:
    assert make_key(title) == expected


def test_key_without_title_has_date_and_id_alone() -> None:
    assert make_key("Layoffs in March", with_title=False) == "2026-12-01-374d9ee8"


def test_slug_of_a_long_title_ends_with_a_whole_word() -> None:
    assert slugify("quarterly planning with the whole " + "team " * 60) == (
        "quarterly-planning-with-the-whole-team"
    )


def test_slug_of_one_long_word_is_cut() -> None:
    assert slugify("x" * 300) == "x" * 40


@given(st.text())
def test_key_of_any_title_is_ascii_and_short(title: str) -> None:
    assert re.fullmatch(r"2026-12-01(-[a-z0-9]+(-[a-z0-9]+)*)?-374d9ee8", make_key(title))
    assert len(make_key(title)) <= 10 + 1 + 40 + 1 + 8

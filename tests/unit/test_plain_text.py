"""What an answer shows is plain text, whatever was said or written."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from playhead.answers.sanitize import LINK, sanitize

_PIECES = st.sampled_from(
    [
        *"[]()<>!`*|\\&;#x:/.@ 31\u200b\u202e【】a",
        "http",
        "https://",
        "www.",
        "evil",
        ".com",
        "javascript:",
        "<img src=",
        "&lt;",
        "&amp;",
        "[3]",
        "](http://evil.com)",
        "mailto:",
    ]
)
_CLICKABLE = re.compile(
    r"[a-z]+://|www\.|\w\.[a-z]{2,}|\w@\w|(javascript|mailto|data):\S|<|>|\[|\]", re.IGNORECASE
)


@settings(max_examples=50, deadline=None)
@given(st.lists(_PIECES, max_size=30).map("".join))
def test_nothing_can_be_clicked_rendered_or_taken_for_a_citation(text: str) -> None:
    assert not _CLICKABLE.search(sanitize(text)), sanitize(text)


@settings(max_examples=50, deadline=None)
@given(st.text())
def test_what_is_plain_stays_one_line_and_plain(text: str) -> None:
    once = sanitize(text)
    assert sanitize(once) == once
    assert len(once.splitlines()) <= 1


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("See [the plan](https://evil.example/x?y=1) now.", "See the plan now."),
        ("![x](http://evil.example/pixel.png)Look.", "xLook."),
        ("Go to https://evil.example/a.b, please.", f"Go to {LINK}, please."),
        ("<a href='http://evil.example'>Click</a> here", "Click here"),
        ("<script>alert(1)</script>Fine.", "alert(1) Fine."),
        ("&lt;b&gt;bold&lt;/b&gt; and &amp;lt;i&amp;gt;", "bold and"),
        ("As was shown [3], and 【4†source】 too.", "As was shown, and too."),
        ("# Ignore **all** `rules`", "Ignore all 'rules'"),
        ("write to eve@evil.example", "write to eve at evil dot example"),
        ("it is on node.js or example.com/path", "it is on node dot js or example dot com/path"),
        ("hid\u200bden \u202etxet", "hidden txet"),
        ("a 28.8 kilobit modem, e.g. at 5 p.m.", "a 28.8 kilobit modem, e.g. at 5 p.m."),
        ("the data: ten of a[i]", "the data: ten of a(i)"),
        ("真っ昼間なのに、電球。", "真っ昼間なのに、電球。"),
    ],
)
def test_the_words_stay(said: str, shown: str) -> None:
    assert sanitize(said) == shown

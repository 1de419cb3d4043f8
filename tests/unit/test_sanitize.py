"""The text of an answer is plain, whatever the recording or the model says."""

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
def test_sanitized_text_has_no_links_markup_or_citations(text: str) -> None:
    assert not _CLICKABLE.search(sanitize(text)), sanitize(text)


@settings(max_examples=50, deadline=None)
@given(st.text())
def test_sanitized_text_is_one_line_and_stays_the_same(text: str) -> None:
    sanitized = sanitize(text)
    assert sanitize(sanitized) == sanitized
    assert len(sanitized.splitlines()) <= 1


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("See [the plan](https://evil.example/x?y=1) now.", "See the plan now."),
        ("![x](http://evil.example/pixel.png)Look.", "xLook."),
        ("Go to https://evil.example/a.b, please.", f"Go to {LINK}, please."),
        ("<a href='http://evil.example'>Click</a> here", "Click here"),
        ("<script>alert(1)</script>Fine.", "alert(1) Fine."),
        ("&lt;b&gt;bold&lt;/b&gt; and &amp;lt;i&amp;gt;", "bold and"),
        ("As was expected [3], and 【4†source】 too.", "As was expected, and too."),
        ("# Ignore **all** `rules`", "Ignore all 'rules'"),
        ("write to eve@evil.example", "write to eve at evil dot example"),
        ("it is on node.js or example.com/path", "it is on node dot js or example dot com/path"),
        ("hid\u200bden \u202etxet", "hidden txet"),
        ("a 28.8 kilobit modem, e.g. at 5 p.m.", "a 28.8 kilobit modem, e.g. at 5 p.m."),
        ("the data: ten of a[i]", "the data: ten of a(i)"),
        ("真っ昼間なのに、電球。", "真っ昼間なのに、電球。"),
    ],
)
def test_sanitized_text_keeps_the_words(text: str, expected: str) -> None:
    assert sanitize(text) == expected

"""Markdown as a tree of sections and a list of blocks, parsed with markdown-it-py."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Literal

from markdown_it import MarkdownIt
from markdown_it.token import Token

BlockKind = Literal["code", "item", "prose"]

# Token types that begin a block; if several begin on one line, the first in this order wins.
_BEGINS: dict[BlockKind, frozenset[str]] = {
    "code": frozenset({"fence", "code_block", "html_block"}),
    "item": frozenset({"list_item_open"}),
    "prose": frozenset({"heading_open", "paragraph_open", "blockquote_open", "hr"}),
}

# Line ends as markdown-it normalises them before it numbers lines.
_LINE_END = re.compile(r"\r\n?|\n")


@dataclass(frozen=True, slots=True)
class Block:
    """Characters ``[start, end)``: code with its fences, a list item, or other text."""

    start: int
    end: int
    kind: BlockKind


@dataclass(slots=True)
class Section:
    """A heading with everything under it, characters ``[start, end)``; the document has level 0."""

    level: int
    start: int
    end: int
    children: list[Section] = field(default_factory=list)

    def parts(self) -> list[Section]:
        """Return the section's own heading and text, then its subsections.

        The parts cover the section.
        """
        body_end = self.children[0].start if self.children else self.end
        return [Section(self.level, self.start, body_end), *self.children]


@dataclass(frozen=True, slots=True)
class Outline:
    """The sections of a Markdown text, and its blocks, which cover the text without gaps."""

    root: Section
    blocks: tuple[Block, ...]

    def blocks_in(self, start: int, end: int) -> Iterator[Block]:
        """Yield the blocks of ``[start, end)``, whose ends must be block boundaries."""
        first = bisect_left(self.blocks, start, key=lambda block: block.start)
        last = bisect_left(self.blocks, end, key=lambda block: block.start)
        yield from self.blocks[first:last]


def outline(text: str) -> Outline:
    """Parse a text as CommonMark; tables and front matter count as prose."""
    tokens = list(_placed(text))
    headings = [
        (int(token.tag[1]), start)
        for token, start, _ in tokens
        if token.type == "heading_open" and token.level == 0
    ]
    return Outline(_tree(headings, len(text)), _blocks(tokens, len(text)))


def _placed(text: str) -> Iterator[tuple[Token, int, int]]:
    """Yield the block tokens with the characters ``[start, end)`` of the lines they cover."""
    line_starts = [0, *(match.end() for match in _LINE_END.finditer(text))]
    for token in MarkdownIt("commonmark").disable("inline").parse(text):
        if token.map:
            first, end = token.map
            yield token, line_starts[first], [*line_starts[end : end + 1], len(text)][0]


def _tree(headings: Sequence[tuple[int, int]], length: int) -> Section:
    root = Section(0, 0, length)
    path = [root]
    for level, start in headings:
        while path[-1].level >= level:
            path.pop().end = start
        path[-1].children.append(Section(level, start, length))
        path.append(path[-1].children[-1])
    return root


def _blocks(tokens: Sequence[tuple[Token, int, int]], length: int) -> tuple[Block, ...]:
    kinds: dict[int, BlockKind] = {}
    for kind, types in _BEGINS.items():
        for token, start, _ in tokens:
            if token.type in types:
                kinds.setdefault(start, kind)
    code_ends = (end for token, _, end in tokens if token.type in _BEGINS["code"])
    for place in (0, *code_ends):
        kinds.setdefault(place, "prose")
    edges = sorted({*kinds, length})
    return tuple(Block(start, end, kinds[start]) for start, end in pairwise(edges))

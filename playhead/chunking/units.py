"""Units that chunks are packed from: sentences, and parts of sentences too long for a chunk.

    sentence -> words between white space -> graphemes -> characters

Each step down is taken only for text that is too long for one chunk.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import IntEnum
from functools import cache, cached_property
from itertools import pairwise
from typing import NamedTuple

import regex

from playhead.core.errors import InvalidSettings
from playhead.core.protocols.embedder import Tokenizer
from playhead.core.sentences import Range, strip_range

#: WordPiece reads a longer word as one [UNK]: ``max_input_chars_per_word`` of BERT's tokenizer,
#: counted after a normalisation that decomposes a character into at most four.
MAX_WORD_CHARACTERS = 100
_SAFE_CHARACTERS = MAX_WORD_CHARACTERS // 4
_LONG_RUN = re.compile(rf"\S{{{_SAFE_CHARACTERS + 1}}}")

WORDS = re.compile(r"\S+")
GRAPHEMES = regex.compile(r"\X")
_CHARACTERS = re.compile(r"(?s).")


class Boundary(IntEnum):
    """The kind of text that begins at a unit; lower values are better places to split."""

    TURN = 0  # another speaker, or the same after a long pause
    SENTENCE = 1
    WORD = 2
    GRAPHEME = 3
    CHARACTER = 4


# How a unit of this kind is split when it is too long for a chunk.
_FINER: dict[Boundary, tuple[re.Pattern[str] | regex.Pattern[str], Boundary]] = {
    Boundary.SENTENCE: (WORDS, Boundary.WORD),
    Boundary.WORD: (GRAPHEMES, Boundary.GRAPHEME),
    Boundary.GRAPHEME: (_CHARACTERS, Boundary.CHARACTER),
}


class Unit(NamedTuple):
    """Characters ``[start, end)``, without white space at either end."""

    start: int
    end: int
    tokens: int
    boundary: Boundary
    starts_new_chunk: bool = False  # never in one chunk with the unit before it


@dataclass(frozen=True)
class TokenCounter:
    """A text with the tokenizer of the embedding model; ``size`` is a chunk's maximum tokens."""

    text: str
    tokenizer: Tokenizer
    size: int

    @cached_property
    def count(self) -> Callable[[int, int], int]:
        """Return a cached function ``count(start, end)``.

        It counts the tokens of ``text[start:end]`` on its own. The cache avoids counting the same
        range again, above all a whole chunk.
        """
        return cache(lambda start, end: self.tokenizer.count(self.text[start:end]))

    def units(self, start: int, end: int, edge: Boundary) -> Iterator[Unit]:
        """Yield ``[start, end)`` as units of at most ``size`` tokens, none if it is blank.

        Raises ``InvalidSettings`` if one character alone has more tokens.
        """
        edges = [*self._hard_breaks(start, end), end]
        yield from self._fitting(start, edges[0], edge, Boundary.SENTENCE)
        for begin, until in pairwise(edges):
            unit, *rest = self._fitting(begin, until, Boundary.GRAPHEME, Boundary.SENTENCE)
            yield unit._replace(starts_new_chunk=True)
            yield from rest

    def _fitting(self, start: int, end: int, edge: Boundary, grain: Boundary) -> Iterator[Unit]:
        start, end = strip_range(self.text, start, end)
        if start == end:
            return
        tokens = self.count(start, end)
        if tokens <= self.size:
            yield Unit(start, end, tokens, edge)
        elif grain in _FINER:
            pattern, finer = _FINER[grain]
            for piece in pattern.finditer(self.text, start, end):
                boundary = edge if piece.start() == start else finer
                yield from self._fitting(*piece.span(), boundary, finer)
        else:
            raise _too_many_tokens(self.text[start:end], tokens, self.size)

    @cached_property
    def _has_long_runs(self) -> bool:
        return max(map(len, self.text.split()), default=0) > _SAFE_CHARACTERS

    def _hard_breaks(self, start: int, end: int) -> list[int]:
        """Return where to split words that the tokenizer would not read for their length.

        A word whose parts the tokenizer does not know either (foreign script) stays whole:
        splitting it gains nothing.
        """
        if not self._has_long_runs or not _LONG_RUN.search(self.text, start, end):
            return []
        breaks: list[int] = []
        for a, b in self.tokenizer.offsets(self.text[start:end]):
            parts = _parts(self.text, start + a, start + b) if b - a > _SAFE_CHARACTERS else []
            if all(self.count(*part) > 1 for part in parts[:-1]):
                breaks.extend(begin for begin, _ in parts[1:])
        return breaks


def _parts(text: str, start: int, end: int) -> list[Range]:
    """Return a word as runs of graphemes of at most ``MAX_WORD_CHARACTERS`` characters each."""
    edges, length = [start], 0
    for grapheme in GRAPHEMES.finditer(text, start, end):
        length += len(unicodedata.normalize("NFD", grapheme.group()))
        if length > MAX_WORD_CHARACTERS and grapheme.start() > edges[-1]:
            edges.append(grapheme.start())
            length = len(unicodedata.normalize("NFD", grapheme.group()))
    return list(pairwise([*edges, end]))


def _too_many_tokens(character: str, tokens: int, size: int) -> InvalidSettings:
    return InvalidSettings(
        f"the character {character!r} alone has {tokens} tokens; the maximum per chunk is {size}",
        remedy="Set a larger chunk size for this embedding model.",
    )

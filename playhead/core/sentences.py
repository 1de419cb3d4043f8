"""Sentence boundaries, in any language and script.

They are found by the sentencex library, whose result is validated. Chunks, documents and search
hits all use these sentences.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from itertools import groupby, pairwise
from typing import Final

from sentencex import get_sentence_boundaries

Range = tuple[int, int]
#: Language runs: each start character with its language (ISO 639-1); the first starts at 0.
LanguageRuns = tuple[tuple[int, str], ...]

#: Scripts that are written without spaces between words, as the inside of a character class: Thai
#: and Lao, Burmese, Khmer, kana (half-width too), Chinese characters (rare ones too). The only
#: such table: corrections, citations and ranking must split a text alike.
UNSPACED: Final = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff"
    "\uf900-\ufaff\uff66-\uff9f\U00020000-\U0003ffff"
)

# sentencex 1.0.32 panics on an initial after white space of several bytes (" A\u00a0."), and
# rejects lone surrogates. Matching one character class is five times as fast as two.
_UNSEGMENTABLE = re.compile(
    "[\t\v\f\x1c-\x1f\x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000\ud800-\udfff]"
)


def merge_runs(runs: Iterable[tuple[int, str]]) -> LanguageRuns:
    """Return the language runs without those that repeat the language of the previous run.

    If several runs start at the same character, the last one is used.
    """
    last = dict(runs)
    return tuple(next(row) for _, row in groupby(last.items(), key=lambda run: run[1]))


def language_runs_within(language_runs: LanguageRuns, start: int, end: int) -> LanguageRuns:
    """Return the language runs of the text ``[start, end)``, relative to ``start``."""
    return merge_runs((max(0, at - start), language) for at, language in language_runs if at < end)


@lru_cache(maxsize=1)  # called twice in a row: to split a text, and to time its sentences
def split_multilingual(text: str, language_runs: LanguageRuns) -> tuple[Range, ...]:
    """Return the sentences of a text in several languages, each split by its language's rules.

    A sentence ends where another language starts. The ranges tile the text as in
    ``split_sentences``.
    """
    edges = pairwise([*(start for start, _ in language_runs), len(text)])
    return tuple(
        (start + first, start + last)
        for (start, end), (_, language) in zip(edges, language_runs, strict=True)
        for first, last in split_sentences(text[start:end], language)
    )


def split_sentences(text: str, language: str) -> tuple[Range, ...]:
    """Return the character ranges of the sentences of ``text``.

    The ranges tile ``text`` and include the white space after a sentence: the first starts at 0,
    each next one starts at the end of the previous one, the last ends at ``len(text)``.

    ``language`` is an ISO 639-1 code; an unknown one is treated like English. If the result of the
    library is not a tiling, lines are used as sentences.
    """
    found = get_sentence_boundaries(language, _UNSEGMENTABLE.sub(" ", text))
    ranges = tuple((sentence["start_index"], sentence["end_index"]) for sentence in found)
    return ranges if _tile(ranges, len(text)) else _split_lines(text)


def strip_range(text: str, start: int, end: int) -> Range:
    """Return the range without white space at its ends; it is empty if the range is blank."""
    bare = text[start:end].lstrip()
    return end - len(bare), end - len(bare) + len(bare.rstrip())


def _tile(ranges: tuple[Range, ...], length: int) -> bool:
    edges = [0, *(end for _, end in ranges)]
    starts = [start for start, _ in ranges]
    return starts == edges[:-1] and edges[-1] == length and all(a < b for a, b in ranges)


def _split_lines(text: str) -> tuple[Range, ...]:
    edges = [0]
    for line in text.splitlines(keepends=True):
        edges.append(edges[-1] + len(line))
    return tuple(pairwise(edges))

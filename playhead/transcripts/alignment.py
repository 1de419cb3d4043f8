"""Word alignment between two versions of a text."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Sequence
from difflib import SequenceMatcher
from itertools import pairwise, takewhile
from typing import Final

import regex

from playhead.core.sentences import UNSPACED

Range = tuple[int, int]
Pair = tuple[int, int]

#: Maximum comparisons for text in which every word is repeated many times; about a second. The rest
#: is not paired, unless equally many words were replaced.
MAX_COMPARISONS: Final = 8_000_000

_SPACE: Final = r"\s\x1c-\x1f"  # white space as Python defines it
_MARKS: Final = rf"[^\w{_SPACE}]*"
_ATOM: Final = regex.compile(rf"{_MARKS}(?=[{UNSPACED}])\X{_MARKS}|[^{_SPACE}{UNSPACED}]+")


def edit_tokens(text: str, start: int = 0, end: int | None = None) -> list[Range]:
    """Return the character ranges of the smallest units that an edit replaces.

    A unit is a run of characters between white space or, in scripts without spaces, one character
    with its punctuation. The ranges cover ``text[start:end]`` except white space.
    """
    return [atom.span() for atom in _ATOM.finditer(text, start, end)]


def align(old: Sequence[str], new: Sequence[str]) -> list[int | None]:
    """Return for each word of ``new`` the index of its match in ``old``, or None if it was added.

    Indices increase. A word matches the same word, the same word with different case or punctuation
    or, where a run of words was replaced by equally many, the word at the same position.
    """
    head, tail = _shared_ends(old, new)
    middle = _patience_diff(
        [count_letters(word) or word for word in old[head : len(old) - tail]],
        [count_letters(word) or word for word in new[head : len(new) - tail]],
    )
    pairs = [(head + old_at, head + new_at) for old_at, new_at in middle]
    edges = [(head - 1, head - 1), *pairs, (len(old) - tail, len(new) - tail)]
    matches: list[int | None] = [None] * len(new)
    matches[:head] = range(head)
    matches[len(new) - tail :] = range(len(old) - tail, len(old))
    for old_at, new_at in pairs:
        matches[new_at] = old_at
    for (old_at, new_at), (old_next, new_next) in pairwise(edges):
        if old_next - old_at == new_next - new_at:
            matches[new_at + 1 : new_next] = range(old_at + 1, old_next)
    return matches


def count_letters(text: str) -> str:
    """Return only the letters and digits of the text, case-folded."""
    return "".join(filter(str.isalnum, text)).casefold()


def _shared_ends(old: Sequence[str], new: Sequence[str]) -> tuple[int, int]:
    """Count the equal words at the beginning, and among the rest those equal at the end."""
    head = _shared(old, new)
    return head, min(_shared(reversed(old), reversed(new)), len(old) - head, len(new) - head)


def _shared(old: Iterable[str], new: Iterable[str]) -> int:
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(old, new, strict=False)))


def _patience_diff(old: Sequence[str], new: Sequence[str]) -> list[Pair]:
    """Return pairs of equal words, increasing on both sides, by patience diff (Bram Cohen).

    Words that occur once on both sides split the text, and the parts in between are compared in the
    same way. Where no such word exists, the longest common run is used.
    """
    pairs: list[Pair] = []
    groups = [(0, len(old), 0, len(new))]
    comparisons = MAX_COMPARISONS
    while groups:
        a, old_end, b, new_end = groups.pop()
        head, tail = _shared_ends(old[a:old_end], new[b:new_end])
        pairs += [(a + at, b + at) for at in range(head)]
        pairs += [(old_end - at, new_end - at) for at in range(1, tail + 1)]
        a, b, old_end, new_end = a + head, b + head, old_end - tail, new_end - tail
        old_part, new_part = old[a:old_end], new[b:new_end]
        matches = _anchors(old_part, new_part)
        if not matches and (cost := _comparisons(old_part, new_part)) <= comparisons:
            comparisons -= cost
            matches = _common_block(old_part, new_part)
        if matches:
            edges = [(a - 1, b - 1), *((a + i, b + j) for i, j in matches), (old_end, new_end)]
            pairs += edges[1:-1]
            groups += [(i + 1, k, j + 1, n) for (i, j), (k, n) in pairwise(edges)]
    return sorted(pairs)


def _anchors(old: Sequence[str], new: Sequence[str]) -> list[Pair]:
    """Return the longest increasing sequence of words that occur exactly once on both sides."""
    old_counts, new_counts = Counter(old), Counter(new)
    positions = {word: at for at, word in enumerate(new) if new_counts[word] == 1}
    return _increasing_subsequence(
        [
            (at, positions[word])
            for at, word in enumerate(old)
            if word in positions and old_counts[word] == 1
        ]
    )


def _increasing_subsequence(pairs: Sequence[Pair]) -> list[Pair]:
    """Return the longest subsequence whose second items increase; the first items already do."""
    lowest: list[int] = []  # lowest end of a sequence, by its length
    last: list[int] = []  # the index of that pair
    before: list[int] = []
    for at, (_, value) in enumerate(pairs):
        length = bisect_left(lowest, value)
        before.append(last[length - 1] if length else -1)
        lowest[length : length + 1] = [value]
        last[length : length + 1] = [at]
    row: list[Pair] = []
    at = last[-1] if last else -1
    while at >= 0:
        row.append(pairs[at])
        at = before[at]
    return row[::-1]


def _comparisons(old: Sequence[str], new: Sequence[str]) -> int:
    """Count the comparisons that difflib makes to find the longest common run."""
    counts = Counter(new)
    return sum(counts[word] for word in old)


def _common_block(old: Sequence[str], new: Sequence[str]) -> list[Pair]:
    row = SequenceMatcher(None, old, new, autojunk=False).find_longest_match()
    return [(row.a + at, row.b + at) for at in range(row.size)]

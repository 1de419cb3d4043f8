"""Merge neighbouring chunks into passages that are shown once and read as a whole."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import reduce

from playhead.postgres.search.chunk_search import Match
from playhead.search.best_sentence import Sentence

_Place = tuple[str, str, str, int]

#: Maximum chunks per group: if a whole recording is about the query, all of its chunks are found,
#: and a hit with the whole recording would not lead to a moment.
MAX_PER_GROUP = 3


@dataclass(frozen=True, slots=True)
class PassageGroup:
    """Neighbouring chunks of one source, in order."""

    matches: tuple[Match, ...]

    @property
    def best(self) -> Match:
        return max(self.matches, key=lambda match: match.score)

    @property
    def matched(self) -> Mapping[str, int]:
        """Return the best rank in each search leg that found the group."""
        legs = sorted({leg for match in self.matches for leg in match.matched})
        return {
            leg: min(match.matched[leg] for match in self.matches if leg in match.matched)
            for leg in legs
        }

    @property
    def cosine(self) -> float | None:
        return max(
            (match.cosine for match in self.matches if match.cosine is not None), default=None
        )

    @property
    def text(self) -> str:
        """Return the merged text, with each character at its offset in the source.

        Text that two chunks share appears once; only white space lies between chunks.
        """
        first, *rest = self.matches
        return reduce(lambda text, match: _with(text, match, first.char_start), rest, first.text)

    @property
    def sentences(self) -> list[Sentence]:
        """Return each sentence once; a chunk without timed sentences counts as one."""
        sentences: dict[tuple[int, int], Sentence] = {}
        for match in self.matches:
            for sentence in _sentences(match, self.matches[0].char_start):
                sentences.setdefault(sentence.within, sentence)
        return list(sentences.values())

    def merge(self, other: PassageGroup) -> PassageGroup:
        matches = (*self.matches, *other.matches)
        return PassageGroup(tuple(sorted(matches, key=lambda match: match.ordinal)))


def group_passages(matches: Iterable[Match]) -> list[PassageGroup]:
    """Merge each chunk with the groups it touches, and return the groups, best first.

    A group has at most ``MAX_PER_GROUP`` chunks.
    """
    groups: dict[int, PassageGroup] = {}  # by the rank of the best match
    group_numbers: dict[_Place, int] = {}
    for number, match in enumerate(matches):
        group, number = PassageGroup((match,)), number
        neighbours = (
            {group_numbers.get(_place(match, step)) for step in (-1, 1)}
            if match.is_current
            else set()
        )
        for neighbour in sorted(neighbour for neighbour in neighbours if neighbour is not None):
            if len(group.matches) + len(groups[neighbour].matches) <= MAX_PER_GROUP:
                group, number = group.merge(groups.pop(neighbour)), min(number, neighbour)
        groups[number] = group
        # An outdated chunk stays alone: its ordinal belongs to an earlier text.
        group_numbers |= {_place(match): number for match in group.matches if match.is_current}
    return [groups[neighbour] for neighbour in sorted(groups)]


def _place(match: Match, step: int = 0) -> _Place:
    return match.recording, match.source, match.recipe, match.ordinal + step


def _with(text: str, match: Match, base: int) -> str:
    place = match.char_start - base
    return text[:place].ljust(place) + match.text


def _sentences(match: Match, base: int) -> Iterator[Sentence]:
    for start, end, start_seconds, end_seconds in match.phrases:
        first, last = max(start, match.char_start), min(end, match.char_end)
        text = match.text[first - match.char_start : last - match.char_start]
        yield Sentence(text, (first - base, last - base), start_seconds, end_seconds, match)
    if not match.phrases:
        within = (match.char_start - base, match.char_end - base)
        seconds = (match.start_seconds or 0.0, match.end_seconds or 0.0)
        yield Sentence(match.text, within, *seconds, match)

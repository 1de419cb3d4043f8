"""Passages that touch, as one: what is shown once and read as a whole.

Not here: finding passages (``playhead/postgres/search/chunk_search.py``), the moment within a stretch
(``moments.py``).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import reduce

from playhead.postgres.search.chunk_search import Match
from playhead.search.best_sentence import Sentence

_Place = tuple[str, str, str, int]

#: Passages in one stretch at most: in a recording that is about the question as a whole all of them
#: are found, and a hit with the whole recording opens nowhere.
MAX_PER_GROUP = 3


@dataclass(frozen=True, slots=True)
class PassageGroup:
    """Neighbouring passages of one source, in order."""

    matches: tuple[Match, ...]

    @property
    def best(self) -> Match:
        return max(self.matches, key=lambda match: match.score)

    @property
    def matched(self) -> Mapping[str, int]:
        """Its best place in each leg that found it."""
        legs = sorted({leg for match in self.matches for leg in match.matched}, reverse=True)
        return {
            leg: min(match.matched[leg] for match in self.matches if leg in match.matched)
            for leg in legs
        }

    @property
    def cosine(self) -> float | None:
        return max((one.cosine for one in self.matches if one.cosine is not None), default=None)

    @property
    def text(self) -> str:
        """Every character where its source has it, what two passages share once; between them is
        nothing but white space."""
        first, *others = self.matches
        return reduce(lambda text, match: _with(text, match, first.char_start), others, first.text)

    @property
    def sentences(self) -> list[Sentence]:
        """Its sentences, each once; the whole of a passage where none has a time of its own."""
        found: dict[tuple[int, int], Sentence] = {}
        for match in self.matches:
            for phrase in _sentences(match, self.matches[0].char_start):
                found.setdefault(phrase.within, phrase)
        return list(found.values())

    def merge(self, other: PassageGroup) -> PassageGroup:
        both = (*self.matches, *other.matches)
        return PassageGroup(tuple(sorted(both, key=lambda match: match.ordinal)))


def group_passages(matches: Iterable[Match]) -> list[PassageGroup]:
    """The best first: each passage joins what it touches, while that is short."""
    made: dict[int, PassageGroup] = {}  # by the place of the best in it
    where: dict[_Place, int] = {}
    for number, match in enumerate(matches):
        new, first = PassageGroup((match,)), number
        beside = {where.get(_place(match, step)) for step in (-1, 1)} if match.wanted else set()
        for place in sorted(place for place in beside if place is not None):
            if len(new.matches) + len(made[place].matches) <= MAX_PER_GROUP:
                new, first = new.merge(made.pop(place)), min(first, place)
        made[first] = new
        # What is about to be replaced stands alone: its places are those of an earlier text.
        where |= {_place(one): first for one in new.matches if one.wanted}
    return [made[place] for place in sorted(made)]


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

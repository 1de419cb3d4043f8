"""When the words of an edited text were said.

Here: from the old words' times to the new ones'. Not here: what became of the text
(``correction.py``).
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, groupby
from operator import itemgetter

from playhead.core.records import Segment, Word
from playhead.transcripts.alignment import Range
from playhead.transcripts.word_positions import places


@dataclass(frozen=True, slots=True)
class Edit:
    """What became of a text: where its atoms were and are now, which old one each new one
    stands for (see ``aligned``), and the new segments with their places in the new text."""

    old_text: str
    old_atoms: Sequence[Range]
    text: str
    atoms: Sequence[Range]
    mates: Sequence[int | None]
    segments: Sequence[Segment]
    turns: Sequence[Range]

    def segment_of(self, atom: Range) -> Segment:
        return self.segments[bisect_right(self.turns, atom[0], key=itemgetter(0)) - 1]


def retimed(words: Sequence[Word], edit: Edit, duration_seconds: float) -> tuple[Word, ...]:
    """The words of the edited text, from old ones whose times never decrease; none from none.

    Untouched words are the same to the bit. A word in another's place (as many for as many)
    has that one's times. Other new words share, by their characters, the seconds of the words
    they replace, or else the pause between the words around them, as far as it lies in their
    segment, which may be no time at all. They stand, as what was really said, between the
    start of the untouched word before and the end of the one after, so no time is off by more
    than lies between these two. A word beside text that never had times has none itself where
    it could not be told from that.
    """
    if not words:
        return ()
    done: list[Word] = []
    lost: list[Word] = []
    added: list[Range] = []
    at = 0
    stands = {old: new for new, old in enumerate(edit.mates) if old is not None}
    for old_atoms, spoken in _units(words, edit):
        stay = _stay(old_atoms, spoken, edit, stands)
        if stay is None:
            lost += spoken
            continue
        now, spoken = stay
        added += edit.atoms[at : now.start]
        at = now.stop
        if spoken:
            if added:
                start = done[-1].end if done else 0.0
                done += _filled(added, lost, start, spoken[0].start, edit)
            done += spoken
            lost, added = [], []
    added += edit.atoms[at:]
    done += _filled(added, lost, done[-1].end if done else 0.0, duration_seconds, edit)
    return _placed(edit.text, done)


def _units(words: Sequence[Word], edit: Edit) -> Iterator[tuple[range, list[Word]]]:
    """Atoms and words that share characters, as few together as can be."""
    spots = places(edit.old_text, [word.word for word in words])
    timed = [(start, end, words[i]) for i, (start, end) in spots.items()]
    old_atoms = edit.old_atoms
    atom = word = 0
    while atom < len(old_atoms):
        first_atom, first_word = atom, word
        end = old_atoms[atom][1]
        atom += 1
        while True:
            if word < len(timed) and timed[word][0] < end:
                end = max(end, timed[word][1])
                word += 1
            elif atom < len(old_atoms) and old_atoms[atom][0] < end:
                end = max(end, old_atoms[atom][1])
                atom += 1
            else:
                break
        yield range(first_atom, atom), [one[2] for one in timed[first_word:word]]


def _stay(
    old_atoms: range, spoken: list[Word], edit: Edit, stands: Mapping[int, int]
) -> tuple[range, list[Word]] | None:
    """Where a unit is in the new text, and its words there, as many as before; else None."""
    now = [stands[atom] for atom in old_atoms if atom in stands]
    if not now:
        return None
    text = edit.text[edit.atoms[now[0]][0] : edit.atoms[now[-1]][1]]
    start, end = edit.old_atoms[old_atoms[0]][0], edit.old_atoms[old_atoms[-1]][1]
    if text != edit.old_text[start:end]:
        spelled = text.split()
        if len(spelled) != len(spoken):
            return None
        spoken = [replace(word, word=new) for word, new in zip(spoken, spelled, strict=True)]
    return range(now[0], now[-1] + 1), spoken


def _filled(
    added: Sequence[Range], lost: Sequence[Word], start: float, end: float, edit: Edit
) -> Iterator[Word]:
    """Words for what was added between words that stay, of which one ends at ``start`` and the
    next begins at ``end``; ``lost`` are the old ones there."""
    texts = [edit.text[slice(*atom)] for atom in added]
    if len(added) == len(lost):
        yield from (replace(word, word=text) for word, text in zip(lost, texts, strict=True))
    elif end < start:
        yield from (Word(text, end, start) for text in texts)
    else:
        if lost:
            start, end = _within(start, end, lost[0].start, lost[-1].end)
        for segment, here in groupby(added, key=edit.segment_of):
            first, last = _within(start, end, segment.start, segment.end)
            yield from _tiled([edit.text[slice(*atom)] for atom in here], first, last)
            start = last


def _within(low: float, high: float, start: float, end: float) -> tuple[float, float]:
    """The part of ``[start, end]`` that lies in ``[low, high]``, or the nearest point of that."""
    start = min(max(start, low), high)
    return start, min(max(end, start), high)


def _tiled(texts: Sequence[str], start: float, end: float) -> Iterator[Word]:
    """Words one after the other, each as long as its share of the characters."""
    sums = [0, *accumulate(map(len, texts))]
    edges = [min(end, start + (end - start) * count / sums[-1]) for count in sums]
    return map(Word, texts, edges, edges[1:])


def _placed(text: str, words: Sequence[Word]) -> tuple[Word, ...]:
    """Those words that have a place in the text without the others: all of them, unless some
    of the text has no words."""
    while len(spots := places(text, [word.word for word in words])) < len(words):
        words = [words[i] for i in spots]
    return tuple(words)

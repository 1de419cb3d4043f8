"""Compute word times for an edited text from the times of the old words."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, groupby
from operator import itemgetter

from playhead.core.records import Segment, Word
from playhead.transcripts.alignment import Range
from playhead.transcripts.word_positions import locate_words


@dataclass(frozen=True, slots=True)
class Edit:
    """An edit of a text.

    Holds the token ranges before and after, the old token that each new one matches (see
    ``align``), and the new segments with their ranges in the new text.
    """

    old_text: str
    old_tokens: Sequence[Range]
    text: str
    tokens: Sequence[Range]
    matches: Sequence[int | None]
    segments: Sequence[Segment]
    segment_ranges: Sequence[Range]

    def segment_of(self, atom: Range) -> Segment:
        return self.segments[bisect_right(self.segment_ranges, atom[0], key=itemgetter(0)) - 1]


def retime(words: Sequence[Word], edit: Edit, duration_seconds: float) -> tuple[Word, ...]:
    """Return the words of the edited text with times derived from the old words.

    The old times must not decrease. Without old words there are no new ones.

    Unchanged words keep their exact times. A word that replaces another (equally many for equally
    many) takes its times. Other new words share, in proportion to their characters, the time of the
    words they replace, or else the pause between the surrounding words as far as it lies in their
    segment; this may have no duration. They lie, like the actual speech, between the start of the
    unchanged word before and the end of the one after, so the error of a time is at most that
    interval. A word beside text that never had times has none itself if the two cannot be
    distinguished.
    """
    if not words:
        return ()
    done: list[Word] = []
    lost: list[Word] = []
    added: list[Range] = []
    at = 0
    new_indices = {old: new for new, old in enumerate(edit.matches) if old is not None}
    for old_atoms, unit_words in _units(words, edit):
        kept_unit = _keep_times(old_atoms, unit_words, edit, new_indices)
        if kept_unit is None:
            lost += unit_words
            continue
        new_atoms, unit_words = kept_unit
        added += edit.tokens[at : new_atoms.start]
        at = new_atoms.stop
        if unit_words:
            if added:
                start = done[-1].end if done else 0.0
                done += _fill_times(added, lost, start, unit_words[0].start, edit)
            done += unit_words
            lost, added = [], []
    added += edit.tokens[at:]
    done += _fill_times(added, lost, done[-1].end if done else 0.0, duration_seconds, edit)
    return _place_words(edit.text, done)


def _units(words: Sequence[Word], edit: Edit) -> Iterator[tuple[range, list[Word]]]:
    """Yield the smallest groups of tokens and words that share characters."""
    ranges = locate_words(edit.old_text, [word.word for word in words])
    timed = [(start, end, words[i]) for i, (start, end) in ranges.items()]
    old_atoms = edit.old_tokens
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
        yield range(first_atom, atom), [word_time[2] for word_time in timed[first_word:word]]


def _keep_times(
    old_atoms: range, words: list[Word], edit: Edit, new_indices: Mapping[int, int]
) -> tuple[range, list[Word]] | None:
    """Return the range of a group in the new text and its words, or None if it changed.

    The words are as many as before.
    """
    new_atoms = [new_indices[atom] for atom in old_atoms if atom in new_indices]
    if not new_atoms:
        return None
    text = edit.text[edit.tokens[new_atoms[0]][0] : edit.tokens[new_atoms[-1]][1]]
    start, end = edit.old_tokens[old_atoms[0]][0], edit.old_tokens[old_atoms[-1]][1]
    if text != edit.old_text[start:end]:
        texts = text.split()
        if len(texts) != len(words):
            return None
        words = [replace(word, word=new) for word, new in zip(words, texts, strict=True)]
    return range(new_atoms[0], new_atoms[-1] + 1), words


def _fill_times(
    added: Sequence[Range], lost: Sequence[Word], start: float, end: float, edit: Edit
) -> Iterator[Word]:
    """Yield words for tokens that were added between two unchanged words.

    The word before ends at ``start``, the next begins at ``end``; ``lost`` are the old words that
    were there.
    """
    texts = [edit.text[slice(*atom)] for atom in added]
    if len(added) == len(lost):
        yield from (replace(word, word=text) for word, text in zip(lost, texts, strict=True))
    elif end < start:
        yield from (Word(text, end, start) for text in texts)
    else:
        if lost:
            start, end = _within(start, end, lost[0].start, lost[-1].end)
        for segment, atoms in groupby(added, key=edit.segment_of):
            first, last = _within(start, end, segment.start, segment.end)
            yield from _tile_times([edit.text[slice(*atom)] for atom in atoms], first, last)
            start = last


def _within(low: float, high: float, start: float, end: float) -> tuple[float, float]:
    """Return the part of ``[start, end]`` within ``[low, high]``, or the nearest point of it."""
    start = min(max(start, low), high)
    return start, min(max(end, start), high)


def _tile_times(texts: Sequence[str], start: float, end: float) -> Iterator[Word]:
    """Yield consecutive words, each with a duration in proportion to its characters."""
    sums = [0, *accumulate(map(len, texts))]
    edges = [min(end, start + (end - start) * count / sums[-1]) for count in sums]
    return map(Word, texts, edges, edges[1:])


def _place_words(text: str, words: Sequence[Word]) -> tuple[Word, ...]:
    """Return the words that can be located in the text independently of the others.

    Those are all words, unless part of the text has none.
    """
    while len(ranges := locate_words(text, [word.word for word in words])) < len(words):
        words = [words[i] for i in ranges]
    return tuple(words)

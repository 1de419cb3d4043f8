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
    interval. A word beside text that never had times has none itself if the two cannot be told
    apart.
    """
    if not words:
        return ()
    done: list[Word] = []
    lost: list[Word] = []
    added: list[Range] = []
    at = 0
    stands = {old: new for new, old in enumerate(edit.matches) if old is not None}
    for old_atoms, spoken in _units(words, edit):
        stay = _keep_times(old_atoms, spoken, edit, stands)
        if stay is None:
            lost += spoken
            continue
        now, spoken = stay
        added += edit.tokens[at : now.start]
        at = now.stop
        if spoken:
            if added:
                start = done[-1].end if done else 0.0
                done += _fill_times(added, lost, start, spoken[0].start, edit)
            done += spoken
            lost, added = [], []
    added += edit.tokens[at:]
    done += _fill_times(added, lost, done[-1].end if done else 0.0, duration_seconds, edit)
    return _place_words(edit.text, done)


def _units(words: Sequence[Word], edit: Edit) -> Iterator[tuple[range, list[Word]]]:
    """Yield the smallest groups of tokens and words that share characters."""
    spots = locate_words(edit.old_text, [word.word for word in words])
    timed = [(start, end, words[i]) for i, (start, end) in spots.items()]
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
    old_atoms: range, spoken: list[Word], edit: Edit, stands: Mapping[int, int]
) -> tuple[range, list[Word]] | None:
    """Return the range of a group in the new text and its words, or None if it changed.

    The words are as many as before.
    """
    now = [stands[atom] for atom in old_atoms if atom in stands]
    if not now:
        return None
    text = edit.text[edit.tokens[now[0]][0] : edit.tokens[now[-1]][1]]
    start, end = edit.old_tokens[old_atoms[0]][0], edit.old_tokens[old_atoms[-1]][1]
    if text != edit.old_text[start:end]:
        spelled = text.split()
        if len(spelled) != len(spoken):
            return None
        spoken = [replace(word, word=new) for word, new in zip(spoken, spelled, strict=True)]
    return range(now[0], now[-1] + 1), spoken


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
        for segment, here in groupby(added, key=edit.segment_of):
            first, last = _within(start, end, segment.start, segment.end)
            yield from _tile_times([edit.text[slice(*atom)] for atom in here], first, last)
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
    while len(spots := locate_words(text, [word.word for word in words])) < len(words):
        words = [words[i] for i in spots]
    return tuple(words)

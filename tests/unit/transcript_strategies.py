"""Transcripts and edits of them at random: scripts with and without spaces, words that overlap,
texts of which only some words have times.

Here: hypothesis strategies. Not here: promises (``test_correction.py``, ``test_captions.py``).
"""

from __future__ import annotations

from dataclasses import replace
from itertools import accumulate

from hypothesis import strategies as st

from playhead.core.errors import InvalidEngineOutput
from playhead.core.records import Segment, Transcript, Word
from playhead.transcripts.word_positions import check_times

_SPACED = [
    "a",
    "the",
    "The",
    "the,",
    "yes.",
    "No!",
    "don't",
    "twenty-five",
    "3.14",
    "&",
    "—",
    "«la",
]
_SPACED += ["Note:", "Ann:", ":", "naïve", "Ω", "안녕", "привет", "e\u0301a"]
_SPACED += ["<b>", "{x}", "x<y", "&amp;", "-"]
_UNSPACED = [
    "今日",
    "は",
    "雨",
    "です。",
    "「東",
    "京」",
    "AI",
    "コーヒー",
    "ที่",
    "นี่",
    "สวัสดี",
    "か\u3099",
    "1",
]
_SPEAKERS = st.sampled_from([None, None, "Ann", "Bob", "Dr. <Q> & co", "SPEAKER_00"])
_PAUSES = st.sampled_from([0.0, 0.0, 0.1, 0.25, 1 / 3, 70.0])


def said(spaced: bool) -> st.SearchStrategy[list[str]]:
    """The words of one segment."""
    return st.lists(st.sampled_from(_SPACED if spaced else _UNSPACED), min_size=1, max_size=8)


@st.composite
def transcripts(draw: st.DrawFn, *, all_timed: bool = False) -> Transcript:
    """Any that ``check_times`` accepts, whose segments hold its text."""
    spaced = draw(st.booleans())
    between = draw(st.sampled_from([" ", " ", "\n"] if spaced else [" ", ""]))
    some = not all_timed and draw(st.integers(0, 3)) == 0
    now, words, segments = 0.0, list[Word](), list[Segment]()
    for spoken in draw(st.lists(said(spaced), max_size=6)):
        begin = now = now + draw(_PAUSES)
        for word in spoken:
            end = now + draw(_PAUSES)
            words.append(Word(word, now, max([end, *(one.end for one in words[-1:])])))
            now = draw(st.sampled_from([end, end, (now + end) / 2])) + draw(_PAUSES)
        text = (" " if spaced else "").join(spoken)
        segments.append(Segment(text, begin, max(begin, words[-1].end), draw(_SPEAKERS)))
    if some:
        words = [word for word in words if draw(st.booleans())]
    duration = max([*(one.end for one in words), *(one.end for one in segments)], default=3.0)
    text = between.join(segment.text for segment in segments)
    made = Transcript(text, "en", duration, tuple(words), tuple(segments))
    return made if _sound(made) else replace(made, words=())


@st.composite
def edits(draw: st.DrawFn, transcript: Transcript) -> list[Segment]:
    """The transcript's segments with words replaced, added and gone; some are split, put
    together, left out, added, or said by somebody else."""
    edited: list[Segment] = []
    for segment in transcript.segments:
        edited += draw(_edited(segment))
    starts = accumulate((segment.start for segment in edited), max)
    ends = accumulate((segment.end for segment in edited), max)
    return [
        replace(segment, start=start, end=end)
        for segment, start, end in zip(edited, starts, ends, strict=True)
    ]


@st.composite
def _edited(draw: st.DrawFn, segment: Segment) -> list[Segment]:
    spaced = segment.text.isascii()
    match draw(st.integers(0, 7)):
        case 0:
            return []
        case 1:
            return [replace(segment, text=" ".join(draw(said(spaced))))]
        case 2:
            return [replace(segment, speaker=draw(_SPEAKERS))]
        case 3:
            at = draw(st.integers(0, len(segment.text)))
            new = draw(st.sampled_from(["", " ", "x", " new ", "雪", "、"]))
            end = min(len(segment.text), at + draw(st.integers(0, 4)))
            return [replace(segment, text=segment.text[:at] + new + segment.text[end:])]
        case 4:
            at = draw(st.integers(0, len(segment.text)))
            middle = (segment.start + segment.end) / 2
            return [
                replace(segment, text=segment.text[:at], end=middle),
                replace(segment, text=segment.text[at:], start=middle),
            ]
        case 5:
            added = Segment("Added here.", segment.end, segment.end, draw(_SPEAKERS))
            return [segment, added]
        case _:
            return [segment]


def _sound(transcript: Transcript) -> bool:
    try:
        check_times(transcript)
    except InvalidEngineOutput:
        return False
    return True

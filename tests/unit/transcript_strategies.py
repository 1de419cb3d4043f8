"""Hypothesis strategies for transcripts and edits of them.

They have scripts with and without spaces, words that overlap, and texts of which only some words
have times. ``test_correction.py`` and ``test_caption_files.py`` use them.
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


def segment_words(spaced: bool) -> st.SearchStrategy[list[str]]:
    """Draw the words of one segment."""
    return st.lists(st.sampled_from(_SPACED if spaced else _UNSPACED), min_size=1, max_size=8)


@st.composite
def transcripts(draw: st.DrawFn, *, all_timed: bool = False) -> Transcript:
    """Draw a transcript that ``check_times`` accepts and whose segments hold its text."""
    spaced = draw(st.booleans())
    between = draw(st.sampled_from([" ", " ", "\n"] if spaced else [" ", ""]))
    partly_timed = not all_timed and draw(st.integers(0, 3)) == 0
    now, words, segments = 0.0, list[Word](), list[Segment]()
    for spoken in draw(st.lists(segment_words(spaced), max_size=6)):
        begin = now = now + draw(_PAUSES)
        for word in spoken:
            end = now + draw(_PAUSES)
            words.append(Word(word, now, max([end, *(word.end for word in words[-1:])])))
            now = draw(st.sampled_from([end, end, (now + end) / 2])) + draw(_PAUSES)
        text = (" " if spaced else "").join(spoken)
        segments.append(Segment(text, begin, max(begin, words[-1].end), draw(_SPEAKERS)))
    if partly_timed:
        words = [word for word in words if draw(st.booleans())]
    duration = max(
        [*(word.end for word in words), *(segment.end for segment in segments)], default=3.0
    )
    text = between.join(segment.text for segment in segments)
    transcript = Transcript(text, "en", duration, tuple(words), tuple(segments))
    return transcript if _is_valid(transcript) else replace(transcript, words=())


@st.composite
def edits(draw: st.DrawFn, transcript: Transcript) -> list[Segment]:
    """Draw the transcript's segments with words replaced, added and removed.

    Some are split, joined, left out, added, or given to another speaker.
    """
    edited: list[Segment] = []
    for segment in transcript.segments:
        edited += draw(_edited_segment(segment))
    starts = accumulate((segment.start for segment in edited), max)
    ends = accumulate((segment.end for segment in edited), max)
    return [
        replace(segment, start=start, end=end)
        for segment, start, end in zip(edited, starts, ends, strict=True)
    ]


@st.composite
def _edited_segment(draw: st.DrawFn, segment: Segment) -> list[Segment]:
    spaced = segment.text.isascii()
    match draw(st.integers(0, 7)):
        case 0:
            return []
        case 1:
            return [replace(segment, text=" ".join(draw(segment_words(spaced))))]
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


def _is_valid(transcript: Transcript) -> bool:
    try:
        check_times(transcript)
    except InvalidEngineOutput:
        return False
    return True

"""Captions can be read while they are heard, and other people's readers read them."""

from __future__ import annotations

from io import StringIO
from itertools import pairwise

import pytest
import webvtt
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len

from playhead.core.records import Segment, Transcript, Word
from playhead.exports.transcripts import FORMATS, Heading, export_transcript
from playhead.transcripts.caption_files import CaptionFormat, read_captions, write_captions
from playhead.transcripts.caption_layout import COLUMNS, MAX_SECONDS, Caption, layout_captions
from playhead.transcripts.correction import correct_all
from playhead.transcripts.cue_markup import SubRip
from playhead.transcripts.cue_parser import stamp
from playhead.transcripts.speaker_names import with_labels, with_names
from tests.support.synthetic_transcripts import talk
from tests.unit.transcript_strategies import transcripts

HEADING = Heading("A talk", "file:///a%20talk.flac")


def spoken(text: str, seconds_a_word: float = 0.4, speaker: str | None = None) -> Transcript:
    """One segment; white space parts its words."""
    words = [
        Word(word, at * seconds_a_word, (at + 1) * seconds_a_word)
        for at, word in enumerate(text.split())
    ]
    end = len(words) * seconds_a_word
    return Transcript(text, "en", end, tuple(words), (Segment(text, 0.0, end, speaker),))


def cut(transcript: Transcript) -> list[Caption]:
    return list(layout_captions(transcript, SubRip(transcript).lead))


def parsed(text: str, caption_format: CaptionFormat) -> list[webvtt.Caption]:
    """As somebody else's reader has it."""
    return webvtt.from_buffer(StringIO(text), format=caption_format).captions


@settings(max_examples=60, deadline=None)
@given(transcripts())
def test_no_caption_is_longer_than_can_be_read(transcript: Transcript) -> None:
    for one in cut(transcript):
        lines = one.text.split("\n")
        assert len(lines) <= 2
        assert all(cell_len(line) <= COLUMNS for line in lines)  # no word here is longer
        assert one.start <= one.end <= one.start + MAX_SECONDS


@settings(max_examples=60, deadline=None)
@given(transcripts())
def test_captions_of_a_segment_follow_each_other_and_hold_all_of_it(transcript: Transcript) -> None:
    made = cut(transcript)
    assert [one.segment for one in made if one.begins] == list(range(len(transcript.segments)))
    for one, after in pairwise(made):
        assert after.begins or (one.segment == after.segment and one.end <= after.start)


def test_a_caption_ends_where_a_sentence_does_rather_than_where_it_is_full() -> None:
    text = "It was the best of times, it was the worst of times. It was the age of wisdom, I say."
    assert [one.text for one in cut(spoken(text))] == [
        "It was the best of times,\nit was the worst of times.",
        "It was the age of wisdom, I say.",
    ]


def test_a_caption_is_shown_when_its_words_are_said() -> None:
    first, second = cut(spoken("word " * 30, seconds_a_word=0.5))[:2]
    assert (first.start, first.end, second.start) == (0.0, 7.0, 7.0)


def test_slow_words_are_shown_for_seven_seconds_and_read_back_to_their_end() -> None:
    slow = spoken("One two", seconds_a_word=20)
    assert [(one.start, one.end) for one in cut(slow)] == [(0.0, 7.0), (20.0, 27.0)]
    assert read_captions(write_captions(slow, "srt"), "srt", slow) == slow.segments


def test_a_segment_whose_words_have_no_times_is_shared_out_by_its_letters() -> None:
    text = " ".join(["aaaa"] * 40)
    shown = cut(Transcript(text, "en", 12.0, (), (Segment(text, 0.0, 12.0),)))
    assert [one.start for one in shown] == pytest.approx([0.0, 4.8, 9.7], abs=0.5)


def test_chinese_and_japanese_are_cut_between_characters_that_count_twice() -> None:
    text = "今日は雨です。" * 9
    shown = cut(Transcript(text, "ja", 9.0, (), (Segment(text, 0.0, 9.0),)))
    assert {one.text for one in shown} == {
        "今日は雨です。今日は雨です。今日は雨です。\n今日は雨です。今日は雨です。今日は雨です。",
        "今日は雨です。今日は雨です。今日は雨です。",
    }


def test_arabic_and_hebrew_stay_in_the_order_they_are_spoken() -> None:
    text = "هذا هو النص الأول، وهو طويل بما يكفي. " * 3 + "שלום לכולם."
    for caption_format in ("srt", "vtt"):
        spoken_so = spoken(text, speaker="ليلى")
        shown = parsed(write_captions(spoken_so, caption_format), caption_format)
        assert " ".join(one.text.replace("\n", " ") for one in shown).endswith(
            " ".join(text.split())
        )


@pytest.mark.parametrize(
    "text",
    [
        "from 1 --> 2 and 00:00:01,000 --> 00:00:02,000",
        "a <b>bold</b> word & a {\\an8} place, x < y",
        "one\n\n2\n00:00:05,000 --> 00:00:06,000\nhidden",
        "WEBVTT NOTE &amp; <v Bob> STYLE",
        "-->",
    ],
)
@pytest.mark.parametrize("caption_format", ["srt", "vtt"])
def test_nothing_that_is_said_breaks_a_file(text: str, caption_format: CaptionFormat) -> None:
    said = spoken(text, seconds_a_word=0.1)
    written = write_captions(said, caption_format)
    assert len(parsed(written, caption_format)) == 1
    assert correct_all(said, read_captions(written, caption_format, said)) == said


def test_the_text_of_one_caption_can_be_corrected_and_the_rest_stays() -> None:
    before = spoken(
        "It was the best of times, it was the worst of times. It was the age of wisdom."
    )
    written = write_captions(before, "srt").replace("age of", "day of")
    after = correct_all(before, read_captions(written, "srt", before))
    assert len(after.segments) == 1
    assert after.text == before.text.replace("age", "day")
    assert [one for one in after.words if one.word != "day"] == [
        one for one in before.words if one.word != "age"
    ]


def test_a_caption_that_a_person_moved_is_a_segment_of_its_own() -> None:
    before = spoken(
        "It was the best of times, it was the worst of times. It was the age of wisdom."
    )
    written = write_captions(before, "srt")
    moved = written.replace("00:00:04,800 -->", "00:00:05,000 -->")
    assert moved != written
    assert len(read_captions(moved, "srt", before)) == 2


@settings(max_examples=60, deadline=None)
@given(transcripts(), st.sampled_from(["srt", "vtt", "json"]))
def test_names_that_people_gave_go_out_and_the_labels_come_back(
    before: Transcript, caption_format: CaptionFormat
) -> None:
    names = {"Ann": "Ada  Lovelace", "SPEAKER_00": "Ann", "Dr. <Q> & co": "A: 李 <b>"}
    shown = with_names(before, names)
    written = write_captions(shown, caption_format)
    if before.segments:
        read = with_labels(read_captions(written, caption_format, shown), before, names)
        assert [one.speaker for one in read] == [one.speaker for one in before.segments]


def test_of_two_people_of_one_name_it_is_the_one_who_spoke_then() -> None:
    segments = tuple(Segment("Yes.", at, at + 1, f"SPEAKER_{at % 2}") for at in range(4))
    before = Transcript("Yes. Yes. Yes. Yes.", "en", 4.0, (), segments)
    names = {"SPEAKER_0": "Ann", "SPEAKER_1": "Ann"}
    shown = with_names(before, names)
    read = read_captions(write_captions(shown, "srt"), "srt", shown)
    assert with_labels(read, before, names) == segments


@pytest.mark.parametrize("caption_format", ["srt", "vtt"])
def test_an_hour_is_read_by_others_as_it_was_written(caption_format: CaptionFormat) -> None:
    hour = talk(1, 600)
    shown = parsed(write_captions(hour, caption_format), caption_format)
    made = list(layout_captions(hour, lambda _segment, _at: ""))
    assert [one.text for one in shown] == [one.text for one in made]
    assert [one.start for one in shown] == [stamp(one.start) for one in made]


@pytest.mark.parametrize("wanted", FORMATS)
def test_silence_is_an_empty_file_that_is_valid(wanted: str) -> None:
    silence = Transcript("", "en", 3.0, (), ())
    text = export_transcript(silence, {}, wanted, HEADING)  # type: ignore[arg-type]
    if wanted == "vtt":
        assert text == "WEBVTT\n"
        assert parsed(text, "vtt") == []
    else:
        assert text == {"srt": "", "txt": "", "md": "# A talk\n"}.get(wanted, text)


def test_a_text_to_read_has_a_paragraph_a_turn() -> None:
    segments = (
        Segment("Good morning.", 1.0, 2.0, "SPEAKER_0"),
        Segment("How are you?", 2.5, 3.0, "SPEAKER_0"),
        Segment("Well, thanks.", 3.5, 4.0, "SPEAKER_1"),
        Segment("And then?", 63.25, 64.0, "SPEAKER_1"),
    )
    panel = Transcript("", "en", 70.0, (), segments)
    assert export_transcript(panel, {"SPEAKER_0": "Ann"}, "txt", HEADING) == (
        "Ann: Good morning. How are you?\n\nSPEAKER_1: Well, thanks.\n\nSPEAKER_1: And then?\n"
    )
    assert export_transcript(panel, {"SPEAKER_0": "Ann *A*"}, "md", HEADING) == (
        "# A talk\n\n"
        "[00:00:01](file:///a%20talk.flac#t=1.00) **Ann \\*A\\*:** Good morning. How are you?\n\n"
        "[00:00:03](file:///a%20talk.flac#t=3.50) **SPEAKER_1:** Well, thanks.\n\n"
        "[00:01:03](file:///a%20talk.flac#t=63.25) **SPEAKER_1:** And then?\n"
    )

"""Layout of captions, and caption files read by another parser."""

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
from tests.support.synthetic_transcripts import make_talk
from tests.unit.transcript_strategies import transcripts

HEADING = Heading("A talk", "file:///a%20talk.flac")


def make_spoken(text: str, seconds_per_word: float = 0.4, speaker: str | None = None) -> Transcript:
    """Return a transcript of one segment; white space separates its words."""
    words = [
        Word(word, at * seconds_per_word, (at + 1) * seconds_per_word)
        for at, word in enumerate(text.split())
    ]
    end = len(words) * seconds_per_word
    return Transcript(text, "en", end, tuple(words), (Segment(text, 0.0, end, speaker),))


def layout(transcript: Transcript) -> list[Caption]:
    return list(layout_captions(transcript, SubRip(transcript).lead))


def parse_webvtt(text: str, caption_format: CaptionFormat) -> list[webvtt.Caption]:
    """Parse captions with the webvtt package."""
    return webvtt.from_buffer(StringIO(text), format=caption_format).captions


@settings(max_examples=60, deadline=None)
@given(transcripts())
def test_caption_is_at_most_two_lines_and_seven_seconds(transcript: Transcript) -> None:
    for caption in layout(transcript):
        lines = caption.text.split("\n")
        assert len(lines) <= 2
        assert all(cell_len(line) <= COLUMNS for line in lines)  # no word here is longer
        assert caption.start <= caption.end <= caption.start + MAX_SECONDS


@settings(max_examples=60, deadline=None)
@given(transcripts())
def test_captions_of_a_segment_are_consecutive_and_complete(transcript: Transcript) -> None:
    captions = layout(transcript)
    assert [caption.segment for caption in captions if caption.is_first] == list(
        range(len(transcript.segments))
    )
    for caption, after in pairwise(captions):
        assert after.is_first or (caption.segment == after.segment and caption.end <= after.start)


def test_caption_ends_at_a_sentence_end_before_it_is_full() -> None:
    text = "It was the best of times, it was the worst of times. It was the age of wisdom, I say."
    assert [caption.text for caption in layout(make_spoken(text))] == [
        "It was the best of times,\nit was the worst of times.",
        "It was the age of wisdom, I say.",
    ]


def test_caption_times_are_those_of_its_words() -> None:
    first, second = layout(make_spoken("word " * 30, seconds_per_word=0.5))[:2]
    assert (first.start, first.end, second.start) == (0.0, 7.0, 7.0)


def test_caption_of_slow_words_ends_after_seven_seconds_and_reads_back() -> None:
    slow = make_spoken("One two", seconds_per_word=20)
    assert [(caption.start, caption.end) for caption in layout(slow)] == [(0.0, 7.0), (20.0, 27.0)]
    assert read_captions(write_captions(slow, "srt"), "srt", slow) == slow.segments


def test_captions_of_untimed_segment_share_its_time_by_letters() -> None:
    text = " ".join(["aaaa"] * 40)
    captions = layout(Transcript(text, "en", 12.0, (), (Segment(text, 0.0, 12.0),)))
    assert [caption.start for caption in captions] == pytest.approx([0.0, 4.8, 9.7], abs=0.5)


def test_captions_of_unspaced_scripts_break_between_wide_characters() -> None:
    text = "今日は雨です。" * 9
    captions = layout(Transcript(text, "ja", 9.0, (), (Segment(text, 0.0, 9.0),)))
    assert {caption.text for caption in captions} == {
        "今日は雨です。今日は雨です。今日は雨です。\n今日は雨です。今日は雨です。今日は雨です。",
        "今日は雨です。今日は雨です。今日は雨です。",
    }


def test_captions_keep_the_order_of_right_to_left_text() -> None:
    text = "هذا هو النص الأول، وهو طويل بما يكفي. " * 3 + "שלום לכולם."
    for caption_format in ("srt", "vtt"):
        spoken_so = make_spoken(text, speaker="ليلى")
        captions = parse_webvtt(write_captions(spoken_so, caption_format), caption_format)
        assert " ".join(caption.text.replace("\n", " ") for caption in captions).endswith(
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
def test_caption_file_escapes_markup_in_the_text(text: str, caption_format: CaptionFormat) -> None:
    transcript = make_spoken(text, seconds_per_word=0.1)
    written = write_captions(transcript, caption_format)
    assert len(parse_webvtt(written, caption_format)) == 1
    assert correct_all(transcript, read_captions(written, caption_format, transcript)) == transcript


def test_caption_text_can_be_corrected_without_changing_the_rest() -> None:
    before = make_spoken(
        "It was the best of times, it was the worst of times. It was the age of wisdom."
    )
    written = write_captions(before, "srt").replace("age of", "day of")
    after = correct_all(before, read_captions(written, "srt", before))
    assert len(after.segments) == 1
    assert after.text == before.text.replace("age", "day")
    assert [word for word in after.words if word.word != "day"] == [
        word for word in before.words if word.word != "age"
    ]


def test_caption_with_moved_time_becomes_its_own_segment() -> None:
    before = make_spoken(
        "It was the best of times, it was the worst of times. It was the age of wisdom."
    )
    written = write_captions(before, "srt")
    moved = written.replace("00:00:04,800 -->", "00:00:05,000 -->")
    assert moved != written
    assert len(read_captions(moved, "srt", before)) == 2


@settings(max_examples=60, deadline=None)
@given(transcripts(), st.sampled_from(["srt", "vtt", "json"]))
def test_speaker_names_are_exported_and_labels_restored_on_import(
    before: Transcript, caption_format: CaptionFormat
) -> None:
    names = {"Ann": "Ada  Lovelace", "SPEAKER_00": "Ann", "Dr. <Q> & co": "A: 李 <b>"}
    captions = with_names(before, names)
    written = write_captions(captions, caption_format)
    if before.segments:
        read = with_labels(read_captions(written, caption_format, captions), before, names)
        assert [segment.speaker for segment in read] == [
            segment.speaker for segment in before.segments
        ]


def test_speaker_of_an_ambiguous_name_is_chosen_by_time() -> None:
    segments = tuple(Segment("Yes.", at, at + 1, f"SPEAKER_{at % 2}") for at in range(4))
    before = Transcript("Yes. Yes. Yes. Yes.", "en", 4.0, (), segments)
    names = {"SPEAKER_0": "Ann", "SPEAKER_1": "Ann"}
    captions = with_names(before, names)
    read = read_captions(write_captions(captions, "srt"), "srt", captions)
    assert with_labels(read, before, names) == segments


@pytest.mark.parametrize("caption_format", ["srt", "vtt"])
def test_captions_of_an_hour_are_parsed_as_written(caption_format: CaptionFormat) -> None:
    hour = make_talk(1, 600)
    shown = parse_webvtt(write_captions(hour, caption_format), caption_format)
    captions = list(layout_captions(hour, lambda _segment, _at: ""))
    assert [caption.text for caption in shown] == [caption.text for caption in captions]
    assert [caption.start for caption in shown] == [stamp(caption.start) for caption in captions]


@pytest.mark.parametrize("export_format", FORMATS)
def test_export_of_silence_is_a_valid_empty_file(export_format: str) -> None:
    silence = Transcript("", "en", 3.0, (), ())
    text = export_transcript(silence, {}, export_format, HEADING)  # type: ignore[arg-type]
    if export_format == "vtt":
        assert text == "WEBVTT\n"
        assert parse_webvtt(text, "vtt") == []
    else:
        assert text == {"srt": "", "txt": "", "md": "# A talk\n"}.get(export_format, text)


def test_text_export_has_a_paragraph_per_turn() -> None:
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

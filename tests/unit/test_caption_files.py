"""Caption files and JSON: written and read back, with errors reported by line."""

from __future__ import annotations

import json
from dataclasses import asdict, replace

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from playhead.core.errors import MAX_PROBLEMS_SHOWN, InvalidCorrection, PermanentError
from playhead.core.records import Segment, Transcript, Word
from playhead.transcripts.caption_files import (
    CaptionFormat,
    decode_text,
    detect_format,
    read_captions,
    write_captions,
)
from playhead.transcripts.correction import correct_all
from tests.unit.transcript_strategies import transcripts

FORMATS: tuple[CaptionFormat, ...] = ("srt", "vtt", "json")


def make_transcript(*segments: Segment, duration: float = 100.0) -> Transcript:
    return Transcript(
        " ".join(segment.text for segment in segments), "en", duration, (), tuple(segments)
    )


TALK = make_transcript(
    Segment("Good morning.", 1.23456, 2.5),
    Segment("Note: it rains.", 3.0, 4.75),
    Segment("Bye.", 90.0, 91.0),
)
PANEL = make_transcript(
    Segment("Good morning.", 1.0, 2.5, "Ann"),
    Segment("Ann: she said.", 3.0, 4.75),
    Segment("Bye.", 90.0, 91.0, "Bob"),
)


def read_segments(
    text: str, caption_format: CaptionFormat = "srt", of: Transcript = TALK
) -> list[Segment]:
    return list(read_captions(text, caption_format, of))


def problems(
    text: str, caption_format: CaptionFormat = "srt", of: Transcript = TALK
) -> tuple[str, ...]:
    with pytest.raises(InvalidCorrection) as refusal:
        read_captions(text, caption_format, of)
    return refusal.value.problems


# --- there and back -----------------------------------------------------------------------


@settings(max_examples=300, deadline=None)
@given(transcripts(), st.sampled_from(FORMATS))
def test_unedited_file_changes_nothing(old: Transcript, caption_format: CaptionFormat) -> None:
    assume(old.segments)
    written = write_captions(old, caption_format)
    assert correct_all(old, read_captions(written, caption_format, old)) == old


@settings(max_examples=300, deadline=None)
@given(
    transcripts(),
    st.sampled_from(["srt", "vtt"]),
    st.sampled_from(["\r\n", "\r", "\n"]),
    st.booleans(),
)
def test_line_ends_and_byte_order_marks_are_ignored(
    old: Transcript, caption_format: CaptionFormat, line_end: str, with_bom: bool
) -> None:
    assume(old.segments)
    written = write_captions(old, caption_format)
    other = "\ufeff" * with_bom + written.rstrip("\n").replace("\n", line_end)
    assert read_captions(other, caption_format, old) == read_captions(written, caption_format, old)


def test_subrip_file_is_written_in_the_standard_format() -> None:
    assert write_captions(TALK, "srt") == (
        "1\n00:00:01,235 --> 00:00:02,500\nGood morning.\n\n"
        "2\n00:00:03,000 --> 00:00:04,750\nNote: it rains.\n\n"
        "3\n00:01:30,000 --> 00:01:31,000\nBye.\n"
    )


def test_webvtt_file_is_written_in_the_standard_format() -> None:
    old = make_transcript(
        Segment("1 < 2 & 3", 0.0, 1.0, "Ann & Bob"), Segment("so\nwhat", 360_000.5, 360_007)
    )
    assert write_captions(old, "vtt") == (
        "WEBVTT\n\n"
        "00:00:00.000 --> 00:00:01.000\n<v Ann &amp; Bob>1 &lt; 2 &amp; 3\n\n"
        "100:00:00.500 --> 100:00:07.000\nso what\n"
    )


def test_json_file_has_the_whole_transcript() -> None:
    old = replace(TALK, words=(Word("Good", 1.23456, 1.5),))
    assert json.loads(write_captions(old, "json")) == json.loads(json.dumps(asdict(old)))


# --- reading what people and programs write -------------------------------------------------


def test_leading_space_of_segments_is_preserved() -> None:
    old = replace(
        make_transcript(Segment(" One.", 0.0, 1.0), Segment(" Two.", 1.0, 2.0)), text="One. Two."
    )
    for caption_format in FORMATS:
        written = write_captions(old, caption_format)
        assert correct_all(old, read_captions(written, caption_format, old)) == old


def test_edited_cue_keeps_the_exact_times_of_its_segment() -> None:
    text = write_captions(TALK, "srt").replace("Good morning", "Good evening")
    assert read_segments(text)[0] == Segment("Good evening.", 1.23456, 2.5)


def test_cue_numbers_may_be_missing_repeated_or_unordered() -> None:
    text = "7\n00:00:01,000 --> 00:00:02,000\none\n\n00:00:03,000 --> 00:00:04,000\ntwo\n\n7\n"
    text += "00:01:00,000 --> 00:01:30,000\nthree"
    assert [segment.text for segment in read_segments(text)] == ["one", "two", "three"]


def test_short_and_long_timecodes_are_read() -> None:
    old = replace(TALK, duration_seconds=400_000.0)
    text = "00:01.5 --> 0:00:02\none\n\n99:59:59,999 -->100:00:00.25\ntwo\n"
    assert read_segments(text, of=old) == [
        Segment("one", 1.5, 2.0),
        Segment("two", 359_999.999, 360_000.25),
    ]


def test_lines_of_a_cue_are_joined() -> None:
    text = "1\n00:00:01,000 --> 00:00:02,000\n one\n  two \n\n"
    text += "2\n00:01:00,000 --> 00:01:30,000\n今日\n雨\n"
    assert [segment.text for segment in read_segments(text)] == ["one two", "今日雨"]


def test_cue_without_text_is_skipped() -> None:
    text = "1\n00:00:01,000 --> 00:00:02,000\n\n\n2\n00:01:00,000 --> 00:01:30,000\ntwo"
    assert [segment.text for segment in read_segments(text)] == ["two"]


def test_text_that_is_a_number_is_not_a_cue_number() -> None:
    text = "1\n00:00:01,000 --> 00:00:02,000\n42\n\n00:01:00,000 --> 00:01:30,000\n43\n"
    assert [segment.text for segment in read_segments(text)] == ["42", "43"]


def test_subrip_tags_are_removed_unless_the_transcript_has_them() -> None:
    cue = (
        '1\n00:01:00,000 --> 00:01:30,000\n{\\an8}<i>so</i> <font color="#fff">write</font> <b> < 3'
    )
    assert read_segments(cue)[0].text == "so write < 3"
    assert (
        read_segments(cue, of=make_transcript(Segment("so write <b>", 60.0, 90.0)))[0].text
        == "so write <b> < 3"
    )


def test_webvtt_comments_styles_settings_names_and_tags_are_skipped() -> None:
    text = (
        "WEBVTT - a talk\nKind: captions\n\nSTYLE\n::cue { color: red }\n\nNOTE two\nlines\n\n"
        "intro\n00:01.000 --> 00:02.000 align:start position:0%\n"
        "<v.loud Ann>So <i.a>it</i> <00:00:01.500><c>goes</c></v> &lt;b&gt; &amp;c\n\n"
        "00:01:00.000 --> 00:01:30.000\nBye.\n"
    )
    assert read_segments(text, "vtt") == [
        Segment("So it goes <b> &c", 1.0, 2.0, "Ann"),
        Segment("Bye.", 60.0, 90.0),
    ]


def test_speaker_prefix_in_subrip_is_recognized() -> None:
    text = write_captions(TALK, "srt").replace("Good", "Ann: Good").replace("Bye", "Bob B.: Bye")
    assert [(segment.speaker, segment.text) for segment in read_segments(text)] == [
        ("Ann", "Good morning."),
        (None, "Note: it rains."),
        ("Bob B.", "Bye."),
    ]


def test_new_prefix_with_colon_is_not_a_speaker() -> None:
    text = write_captions(TALK, "srt").replace("Good morning", "Good: Morning")
    assert read_segments(text)[0] == Segment("Good: Morning.", 1.23456, 2.5)


def test_speaker_renamed_in_subrip_is_renamed() -> None:
    text = write_captions(PANEL, "srt").replace("Ann: Good", "Anna: Good")
    assert [(segment.speaker, segment.text) for segment in read_segments(text, of=PANEL)] == [
        ("Anna", "Good morning."),
        (None, "Ann: she said."),
        ("Bob", "Bye."),
    ]


def test_cue_with_only_a_speaker_has_no_text() -> None:
    text = write_captions(PANEL, "srt").replace("Ann: Good morning.", "Ann:")
    assert [segment.speaker for segment in read_segments(text, of=PANEL)] == [None, "Bob"]


def test_json_file_needs_only_segments() -> None:
    text = '{"segments": [{"text": " one ", "start": 1, "end": 92.5, "speaker": "Ann"}]}'
    assert read_segments(text, "json") == [Segment("one", 1.0, 92.5, "Ann")]


# --- which format -----------------------------------------------------------------------------


def test_format_is_detected_by_name_or_content() -> None:
    assert [detect_format(name, "") for name in ("a.SRT", "b/c.vtt", "d.json")] == list(FORMATS)
    assert detect_format("a.txt", "\ufeffWEBVTT\n\n") == "vtt"
    assert detect_format("a", ' {"segments": []}') == "json"
    assert detect_format("-", "1\n00:00:01,000 --> 00:00:02,000\n") == "srt"


def test_common_text_encodings_are_read() -> None:
    assert decode_text("\ufeffnaïve 雨".encode()) == "naïve 雨"
    assert decode_text("naïve 雨".encode("utf-16")) == "naïve 雨"
    with pytest.raises(InvalidCorrection, match="line 3: not UTF-8"):
        decode_text("1\n00:00\nnaïve".encode("latin-1"))


# --- refusals ---------------------------------------------------------------------------------


def test_all_problems_are_reported_with_their_lines() -> None:
    text = """\
1
00:00:01,000 --> 00:00:02,000
fine

2
00:00:0x,000 --> 00:00:04,000
unreadable

3
00:00:09,000 --> 00:00:05,000
ends first

4
00:00:00,200 --> 00:00:00,900
goes back

stray

5
00:00:20,000 --> 00:00:21,000
no empty line
6
00:00:22,000 --> 00:00:23,000

7
00:01:39,000 --> 00:01:40,100
too late

8
00:00:61,000 --> 00:01:02,000
no such second
"""
    messages = problems(text)
    assert [problem.partition(":")[0] for problem in messages] == [
        f"line {number}" for number in (6, 10, 14, 17, 23, 26, 30)
    ]
    reasons = ["invalid times", "before it starts", "before the one above", "outside any cue"]
    reasons += ["empty line before it", "after the recording", "invalid times"]
    assert all(reason in problem for reason, problem in zip(reasons, messages, strict=True))


def test_rejection_is_permanent_and_has_a_remedy() -> None:
    with pytest.raises(PermanentError) as refusal:
        read_captions("hello", "srt", TALK)
    assert "Nothing was changed" in refusal.value.remedy


def test_one_wrong_time_does_not_reject_later_cues() -> None:
    text = write_captions(TALK, "srt").replace("00:00:03,000", "10:00:03,000")
    text = text.replace("00:00:04,750", "10:00:04,750")
    assert len(problems(text)) == 1


def test_thousand_problems_are_counted_and_the_first_reported() -> None:
    with pytest.raises(InvalidCorrection) as refusal:
        read_segments("stray\n\n" * 1_000)
    assert len(refusal.value.problems) == 1_000
    assert len(str(refusal.value).splitlines()) == MAX_PROBLEMS_SHOWN + 1
    assert str(refusal.value).endswith("and 950 more")


@pytest.mark.parametrize("text", ["", "\ufeff", " \r\n\r\n"])
@pytest.mark.parametrize("caption_format", FORMATS)
def test_empty_file_is_rejected(text: str, caption_format: CaptionFormat) -> None:
    assert problems(text, caption_format) == ("the file is empty",)


def test_file_without_any_text_is_rejected() -> None:
    assert problems("1\n00:00:01,000 --> 00:00:02,000\n\n") == ("the file has no words",)
    assert problems('{"segments": []}', "json") == ("the file has no words",)
    assert problems("WEBVTT\n\n", "vtt") == ("the file has no words",)


def test_webvtt_file_without_header_is_rejected() -> None:
    assert problems(write_captions(TALK, "srt"), "vtt") == (
        "line 1: a WebVTT file must start with WEBVTT",
    )


def test_file_that_ends_long_before_the_speech_is_rejected() -> None:
    (problem,) = problems("1\n00:00:01,000 --> 00:00:20,000\nshort\n")
    assert "another recording" in problem


def test_file_may_lack_minutes_of_a_long_recording() -> None:
    hello, music = Segment("Hello.", 0.0, 240.0), Segment("La la.", 240.0, 400.0)
    text = "1\n00:00:00,000 --> 00:04:00,000\nHello.\n"
    assert read_segments(text, of=make_transcript(hello, music, duration=400.0)) == [hello]


def test_hallucinated_words_at_the_end_may_be_removed() -> None:
    old = make_transcript(Segment("Hello.", 0.0, 2.0), Segment("Thanks for watching!", 3.0, 30.0))
    assert read_segments("1\n00:00:00,000 --> 00:00:02,000\nHello.\n", of=old) == [old.segments[0]]


def test_cue_inside_the_webvtt_header_is_reported() -> None:
    text = "WEBVTT\n00:01:00.000 --> 00:01:30.000\nHi\n\nNOTE\n01:31.000 --> 01:32.000\nHo\n"
    assert [problem[:7] for problem in problems(text, "vtt")] == ["line 2:", "line 6:"]


def test_two_speakers_in_one_cue_are_rejected() -> None:
    text = "WEBVTT\n\n00:01:00.000 --> 00:01:30.000\n<v Ann>Hi <v Bob>Hello\n"
    assert problems(text, "vtt") == (
        "line 3: the cue has several speakers; use one cue per speaker",
    )


def test_json_of_wrong_shape_is_rejected_with_each_path() -> None:
    text = """{"segments": [
        {"text": "fine", "start": 1, "end": 2},
        {"text": 3, "start": true, "end": NaN, "speker": "Ann"},
        5,
        {"start": -3, "end": 1e999},
        {"text": "late", "start": 50, "end": 101},
        {"text": "early", "start": -3, "end": 1}
    ]}"""
    messages = problems(text, "json")
    assert [problem.split(":")[:2] for problem in messages] == [
        ["segments[1]", " text"],
        ["segments[1]", " start"],
        ["segments[1]", " end"],
        ["segments[1]", " speker"],
        ["segments[2]", " Input should be a valid dictionary or instance of EditedSegment"],
        ["segments[3]", " text"],
        ["segments[3]", " end"],
        ["segments[4]", " ends at 00"],
        ["segments[5]", " starts at -3.0 s, before the recording"],
    ]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{,}", "at line 1 column 2"),
        ("[]", "should be an object"),
        ('{"text": "one"}', "segments: Field required"),
        ('{"segments": {}}', "segments: Input should be a valid array"),
        ('{"segments": [], "duration_seconds": 99.9}', "but the recording has 100.0"),
        ("[" * 100_000, "recursion"),
        ('{"segments": [{"text": "\\ud800", "start": 1, "end": 2}]}', "Invalid JSON"),
    ],
)
def test_json_that_is_not_a_transcript_is_rejected(text: str, reason: str) -> None:
    (problem,) = problems(text, "json")
    assert reason in problem

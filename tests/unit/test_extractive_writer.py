"""The extractive writer quotes, never invents, and has a time for every quote."""

from __future__ import annotations

import os
import random
import re
import subprocess
import sys
import time
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from playhead.core.records import Cost, Document, Segment, Transcript, Word
from playhead.core.text import one_line
from playhead.engines.writing.extractive import ExtractiveWriter
from playhead.engines.writing.markdown_page import escape

MARKDOWN = MarkdownIt("commonmark").enable(["table", "strikethrough"])

TRAINS = (
    "The night train to Vienna leaves from platform nine. Railway tickets are cheaper in March. "
    "A conductor checks every railway ticket on the night train. The sleeping car has warm beds. "
    "Passengers on the night train eat breakfast before Vienna."
)
BREAD = (
    "Sourdough bread needs a lively starter. Flour and water ferment for a whole day. "
    "The baker folds the dough before the oven is hot. A stone oven gives bread its crust. "
    "Salt slows the fermentation of the dough."
)


def make_words(text: str, *, at: float = 0.0, seconds_per_word: float = 0.5) -> list[Word]:
    return [
        Word(word, at + i * seconds_per_word, at + (i + 0.9) * seconds_per_word)
        for i, word in enumerate(text.split())
    ]


def make_transcript(words: Sequence[Word], *, language: str = "en") -> Transcript:
    text = " ".join(word.word for word in words)
    duration = words[-1].end + 1.0 if words else 40.0
    return Transcript(text, language, duration, tuple(words), ())


def write_document(source: Transcript, title: str = "A title") -> Document:
    document, usage = ExtractiveWriter().write(source, title=title, kind="recording")
    assert usage == Cost()
    return document


def quotes(document: Document) -> list[str]:
    """Return the quotes of the body's sections as a reader of the rendered page sees them."""
    first_part = document.metadata["sections"][-1]["char_start"]
    spans = [span for span in document.spans if span.char_start > first_part]
    return [visible_text(document.content[span.char_start : span.char_end]) for span in spans]


def visible_text(markdown: str) -> str:
    """Return the characters that a reader sees; fail if any of them became markup."""
    (inline,) = MARKDOWN.parseInline(f"[] {markdown}")
    assert [child.type for child in inline.children or []] == ["text"]
    assert inline.children
    return inline.children[0].content.removeprefix("[] ")


def assert_valid(document: Document, source: Transcript) -> None:
    """Check every invariant that holds for any transcript."""
    content = document.content
    for span in document.spans:
        assert 0 <= span.char_start < span.char_end <= len(content)
        assert 0 <= span.start_seconds <= span.end_seconds <= source.duration_seconds
        assert visible_text(content[span.char_start : span.char_end]) in one_line(source.text)
    assert all(a.char_end <= b.char_start for a, b in pairwise(document.spans))
    quotes = content[document.metadata.get("quotes_from", len(content)) :]
    for line in quotes.splitlines():
        quote = re.sub(r"^(- )?\[[\d:]+\] ", "", line)
        assert line.startswith("## ") or not line or visible_text(quote) in one_line(source.text)
    sections = document.metadata["sections"]
    assert sections
    for section in sections:
        body = content[section["char_start"] : section["char_end"]]
        assert body.startswith(f"## {section['heading']}\n")
        assert 0 <= section["start_seconds"] <= section["end_seconds"] <= source.duration_seconds
    assert_structure(content, len(sections))


def assert_structure(content: str, sections: int) -> None:
    tokens = MARKDOWN.parse(content)
    assert [t.tag for t in tokens if t.type == "heading_open"] == ["h1", *["h2"] * sections]
    allowed = {"heading", "paragraph", "bullet_list", "list_item"}
    assert {t.type.rsplit("_", 1)[0] for t in tokens if t.type != "inline"} <= allowed
    inline = {child.type for t in tokens for child in t.children or []}
    assert inline <= {"text", "em_open", "em_close"}


ANY_CHARACTER = st.characters(exclude_categories=())
ANY_WORD = st.text(ANY_CHARACTER, min_size=1, max_size=12) | st.sampled_from(
    [
        "#",
        "##",
        "*",
        "**bold**",
        "_",
        "a_b",
        "<b>",
        "[x]:",
        "`",
        "~~",
        "&amp;",
        "---",
        "Dr.",
        "東京。",
    ]
)
ANY_WORDS = st.lists(
    st.tuples(ANY_WORD, st.sampled_from([" ", "", ". ", "\n", "\r\n\r\n"]), st.floats(0, 400)),
    max_size=40,
)


@st.composite
def transcripts(draw: st.DrawFn) -> Transcript:
    words: list[Word] = []
    text = ""
    now = 0.0
    for word, separator, pause in draw(ANY_WORDS):
        text += word + separator
        words.append(Word(word, now + pause, now + pause + 0.4))
        now = words[-1].end
    language = draw(st.sampled_from(["en", "cs", "ja", "th", "ar", "", "xx-unknown"]))
    return Transcript(text, language, now + draw(st.floats(0, 50)), tuple(words), ())


@settings(deadline=None, max_examples=150)
@given(source=transcripts(), title=st.text(ANY_CHARACTER, max_size=60))
def test_document_is_valid_for_any_transcript_and_title(source: Transcript, title: str) -> None:
    document = write_document(source, title)
    assert_valid(document, source)
    assert document.title == title


@settings(deadline=None, max_examples=500)
@given(text=st.text(st.sampled_from(" *_a`[]()<>~&;#!\\|-1.é/:x=\"'\n")))
def test_markup_characters_are_escaped(text: str) -> None:
    assert visible_text(escape(one_line(text))).strip() == one_line(text)


HOSTILE_TITLES = [
    *["", "  ", "# heading", "C #", "---", "***", "_a_ __b__", "`code`", "a\n# b\n\n## c"],
    *["<script>alert(1)</script>", "]( [x](y)", "&lt;b&gt;", "🎉 👩\u200d👩\u200d👧", "x" * 4096],
    *["a\u2028b", "\x1b[31mred", "\x00", "\ud800"],
]


@pytest.mark.parametrize("title", HOSTILE_TITLES)
def test_hostile_title_stays_one_heading(title: str) -> None:
    document = write_document(make_transcript(make_words(TRAINS)), title)
    assert_valid(document, make_transcript(make_words(TRAINS)))
    assert len(document.content.splitlines()[0]) < 500
    assert document.title == title


def test_recording_without_words_has_a_notice() -> None:
    document = write_document(make_transcript([]))
    assert "No speech was found in this recording." in document.content
    (section,) = document.metadata["sections"]
    assert (section["start_seconds"], section["end_seconds"]) == (0.0, 40.0)
    assert document.spans == ()


def test_single_word_is_quoted_with_its_time() -> None:
    document = write_document(make_transcript([Word("Stop", 83.4, 84.0)]))
    assert "[00:01:23] Stop\n" in document.content
    assert quotes(document) == ["Stop"]
    assert (document.spans[-1].start_seconds, document.spans[-1].end_seconds) == (83.4, 84.0)


def test_document_says_that_it_only_quotes() -> None:
    content = write_document(make_transcript(make_words(TRAINS))).content
    assert "Quoted from the recording by the offline writer" in content
    assert "nothing here was written by a language model" in content


def test_short_clip_is_one_section_without_repeated_quotes() -> None:
    document = write_document(make_transcript(make_words(TRAINS)))
    headings = [section["heading"] for section in document.metadata["sections"]]
    assert headings[0] == "Key phrases"
    assert len(headings) == 2
    assert headings[1].startswith("00:00:00–00:00:19 · ")
    assert " ".join(quotes(document)) == TRAINS


def test_section_ends_where_the_subject_changes() -> None:
    trains = [
        word for i in range(11) for word in make_words(TRAINS, at=i * 24.0, seconds_per_word=0.5)
    ]
    bread = [
        word
        for i in range(14)
        for word in make_words(BREAD, at=267 + i * 24.0, seconds_per_word=0.5)
    ]
    document = write_document(make_transcript([*trains, *bread]))
    first, second = document.metadata["sections"][-2:]
    assert second["start_seconds"] == 267.0
    assert first["end_seconds"] < 267.0
    assert "train" in first["heading"].casefold()
    assert "train" not in second["heading"].casefold()


def test_highlights_are_in_order_and_from_the_whole_recording() -> None:
    words = [
        word
        for i in range(40)
        for word in make_words(f"{TRAINS if i < 20 else BREAD} Part {i} ends.", at=i * 30.0)
    ]
    document = write_document(make_transcript(words))
    section = next(s for s in document.metadata["sections"] if s["heading"] == "Highlights")
    inside = range(section["char_start"], section["char_end"])
    starts = [span.start_seconds for span in document.spans if span.char_start in inside]
    assert starts == sorted(starts)
    assert starts[0] < 600 < starts[-1]


def test_repeated_sentence_is_quoted_once() -> None:
    source = make_transcript(
        make_words("Please hold the line. " * 12 + "Our office opens at nine.")
    )
    assert sorted(quotes(write_document(source))) == [
        "Our office opens at nine.",
        "Please hold the line.",
    ]


def test_filler_is_left_out_for_content() -> None:
    filler = "Um, okay. Right. Yes, yes. Well, you know. Hm. Sure. So. Anyway. I see. Oh no. "
    found = quotes(write_document(make_transcript(make_words(filler + TRAINS))))
    assert len(found) == 8
    assert {f"{sentence.rstrip('.')}." for sentence in TRAINS.split(". ")} <= set(found)


def test_key_phrases_are_quotes_and_none_contains_another() -> None:
    document = write_document(make_transcript(make_words(TRAINS)))
    phrases = document.metadata["key_phrases"]
    assert "night train" in " ".join(phrases).casefold()
    spans = [document.content[span.char_start : span.char_end] for span in document.spans]
    assert spans[: len(phrases)] == [escape(phrase) for phrase in phrases]
    folded = [set(phrase.casefold().split()) for phrase in phrases]
    assert not [(a, b) for a in folded for b in folded if a is not b and a <= b]


def test_speech_without_punctuation_is_quoted_in_readable_parts() -> None:
    rng = random.Random(1)
    words = make_words(" ".join(rng.choice(TRAINS.replace(".", "").split()) for _ in range(3000)))
    source = make_transcript(words)
    document = write_document(source)
    assert_valid(document, source)
    assert max(len(quote) for quote in quotes(document)) <= 400


def test_transcript_with_only_segments_has_times() -> None:
    segments = (Segment("First of all.", 1.0, 2.0), Segment("Then the rest.", 5.0, 7.5))
    source = Transcript("First of all. Then the rest.", "en", 10.0, (), segments)
    starts = [(s.start_seconds, s.end_seconds) for s in write_document(source).spans[-2:]]
    assert starts == [(1.0, 2.0), (5.0, 7.5)]


@pytest.mark.parametrize(
    ("language", "text"),
    [
        ("ja", "東京の天気は晴れです。明日は雨が降ります。"),
        ("th", "สวัสดีครับ วันนี้อากาศดีมาก"),
        ("ar", "مرحبا بكم في القطار الليلي. القطار يصل صباحا."),
        ("hi", "रेलगाड़ी सुबह पहुँचती है। टिकट सस्ता है।"),
        ("ru", "Ночной поезд прибывает утром. Билет стоит дорого."),
    ],
)
def test_any_script_is_quoted_in_full_with_its_times(language: str, text: str) -> None:
    source = make_transcript(make_words(text, at=3.0), language=language)
    document = write_document(source)
    assert_valid(document, source)
    assert "".join(quotes(document)).replace(" ", "") == text.replace(" ", "")
    assert min(span.start_seconds for span in document.spans) == 3.0


def test_document_is_identical_in_another_process() -> None:
    program = (
        "import sys, tests.unit.test_extractive_writer as t; "
        "sys.stdout.buffer.write("
        "t.write_document(t.make_transcript(t.make_words(' '.join([t.TRAINS, t.BREAD] * 30))))"
        ".content.encode())"
    )
    written = {
        subprocess.run(
            [sys.executable, "-c", program],
            cwd=Path(__file__).parents[2],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(written) == 1
    assert b"## Highlights" in written.pop()


def test_four_hour_transcript_is_written_in_seconds() -> None:
    rng = random.Random(7)
    vocabulary = [f"{a}{b}" for a in "bdfglmnprst" for b in ("ale", "ound", "ive", "oster", "unk")]
    sentences = (
        " ".join(rng.choices(vocabulary, k=rng.randint(3, 25))).capitalize() + "."
        for _ in range(2900)
    )
    source = make_transcript(make_words(" ".join(sentences), seconds_per_word=0.36))
    assert len(source.words) > 38_000
    started_at = time.thread_time()
    document = write_document(source)
    assert time.thread_time() - started_at < 30
    assert len(document.metadata["sections"]) > 40


def test_engine_parameters_name_the_algorithm_versions() -> None:
    engine = ExtractiveWriter().engine
    assert engine.name == "extractive"
    assert engine.model.startswith("yake-")
    assert {"layout", "sentencex"} <= set(engine.parameters)

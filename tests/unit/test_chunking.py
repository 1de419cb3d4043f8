"""What chunks promise, for every strategy, tokenizer and text; and what each strategy does."""

from __future__ import annotations

import random
import re
import time
from collections.abc import Sequence
from itertools import pairwise

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from playhead.chunking.chunker import ChunkingConfig, Strategy
from playhead.core.errors import InvalidEngineOutput, InvalidSettings
from playhead.core.records import Chunk, TimedSpan
from tests.unit.chunking_strategies import (
    STRATEGIES,
    TEXTS,
    TOKENIZERS,
    Bytes,
    Spaces,
    configs,
    cut,
    minilm,
    prose,
    said,
    spoken,
    tokenizer_named,
)


def texts(chunks: Sequence[Chunk]) -> list[str]:
    return [one.text for one in chunks]


# --- promises -----------------------------------------------------------------------------


@settings(max_examples=1_200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(spoken(), configs(), TOKENIZERS, st.none() | TEXTS)
def test_every_chunk_keeps_its_promises_whatever_was_cut_before(
    recorded: tuple[str, tuple[TimedSpan, ...]], config: ChunkingConfig, name: str, was: str | None
) -> None:
    text, spans = recorded
    tokenizer = tokenizer_named(name)
    was = f"{text[: len(text) // 2]} {was} {text[len(text) // 2 :]}" if was is not None else ""
    chunks = cut(text, config, tokenizer, spans, before=cut(was, config, tokenizer))

    assert [one.ordinal for one in chunks] == list(range(len(chunks)))
    for one in chunks:
        assert text[one.char_start : one.char_end] == one.text
        assert one.text
        assert one.text == one.text.strip()
        assert one.token_count == tokenizer.count(one.text) <= config.size

    covered = {i for one in chunks for i in range(one.char_start, one.char_end)}
    assert [c for i, c in enumerate(text) if i not in covered and not c.isspace()] == []

    for before, after in pairwise(chunks):
        assert before.char_start < after.char_start
        assert before.char_end < after.char_end
        shared = text[after.char_start : max(before.char_end, after.char_start)]
        assert tokenizer.count(shared) <= config.overlap

    timed = [one for one in chunks if one.start_seconds is not None and one.end_seconds is not None]
    for one in timed:
        assert one.start_seconds is not None
        assert one.end_seconds is not None
        assert spans[0].start_seconds <= one.start_seconds <= one.end_seconds
        assert one.end_seconds <= spans[-1].end_seconds
        assert one.speaker in {span.speaker for span in spans}
    starts = [one.start_seconds for one in timed if one.start_seconds is not None]
    assert starts == sorted(starts)
    inside = {s for s in spans for one in timed if one.char_start <= s.char_start < one.char_end}
    assert inside == set(spans)


@settings(max_examples=150, deadline=None)
@given(TEXTS, configs(), TOKENIZERS)
def test_the_same_text_is_cut_the_same_way_again(
    text: str, config: ChunkingConfig, name: str
) -> None:
    tokenizer = tokenizer_named(name)
    once = cut(text, config, tokenizer)
    assert cut(text, config, tokenizer) == once
    assert cut(text, config, tokenizer, before=once) == once


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_blank_text_has_no_chunks(strategy: Strategy) -> None:
    assert cut("", ChunkingConfig(strategy)) == ()
    assert cut(" \n\u3000\t\u2029", ChunkingConfig(strategy)) == ()


# --- settings -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings_", "fault"),
    [
        ({"size": 100, "overlap": 100}, "overlap is 100"),
        ({"overlap": -1}, "overlap is -1"),
        ({"size": 90, "minimum": 100}, "minimum is 100"),
        ({"minimum": -1}, "minimum is -1"),
        ({"size": 3, "overlap": 0, "minimum": 0}, "size is 3"),
        ({"strategy": "words"}, "strategy is 'words'"),
    ],
)
def test_sizes_that_cannot_work_are_refused(settings_: dict[str, int], fault: str) -> None:
    with pytest.raises(InvalidSettings, match=fault):
        ChunkingConfig(**{"strategy": "text", **settings_})  # type: ignore[arg-type]


def test_a_models_window_scales_all_three_sizes() -> None:
    assert ChunkingConfig("text").capped(256) == ChunkingConfig("text", 256, 25, 51)
    assert ChunkingConfig("text").capped(8_192) == ChunkingConfig("text")


@given(configs(), st.integers(8, 130))
def test_capped_sizes_are_always_valid(config: ChunkingConfig, window: int) -> None:
    assert config.capped(window).size == min(config.size, window)


def test_a_character_that_no_chunk_can_hold_is_named() -> None:
    class Spelt(Spaces):
        def count(self, text: str) -> int:
            return 20 * len(text)

    with pytest.raises(InvalidSettings, match="'a' alone is 20 tokens"):
        cut("aa", ChunkingConfig("text", size=8, overlap=0, minimum=0), Spelt())


# --- text ---------------------------------------------------------------------------------

SMALL = ChunkingConfig("text", size=20, overlap=6, minimum=5)
ANIMALS = ["Ant", "Bee", "Cat", "Dog", "Elk", "Fox", "Gnu", "Hen"]


def sentence(word: str, length: int = 5) -> str:
    return " ".join([word, *[word.lower()] * (length - 1)]) + "."


def test_a_text_that_fits_is_one_chunk() -> None:
    text = " ".join(sentence(word) for word in ANIMALS[:4])
    assert texts(cut(f"  {text}\n", SMALL)) == [text]


def test_sentences_stay_whole_and_the_last_is_said_again() -> None:
    text = " ".join(sentence(word) for word in ANIMALS)
    chunks = cut(text, SMALL)
    assert len(chunks) > 2
    for before, after in pairwise(chunks):
        assert re.fullmatch(r"(\w+( \w+){4}\. ?)+", after.text)
        assert text[after.char_start : before.char_end] == before.text[-len(sentence("Ant")) :]


def test_of_a_sentence_longer_than_the_overlap_its_last_words_are_said_again() -> None:
    first, second = cut(
        f"{sentence('Ant', 12)} {sentence('Bee', 10)}",
        ChunkingConfig("text", size=16, overlap=3, minimum=0),
    )
    assert first.text == sentence("Ant", 12)
    assert second.text == f"ant ant ant. {sentence('Bee', 10)}"


def test_a_sentence_without_spaces_overlaps_by_characters() -> None:
    text = "今天天气很好我们一起去公园散步吧。明天可能会下雨所以要带伞出门才行。"
    first, second = cut(text, ChunkingConfig("text", 24, 5, 0), minilm(), language="zh")
    assert first.text == "今天天气很好我们一起去公园散步吧。"
    assert second.text == "园散步吧。明天可能会下雨所以要带伞出门才行。"


def test_a_long_sentence_keeps_whole_at_the_cost_of_overlap() -> None:
    text = f"{sentence('Ant', 12)} {sentence('Bee', 18)}"
    assert texts(cut(text, SMALL))[1] == f"ant ant. {sentence('Bee', 18)}"


def test_a_short_last_chunk_joins_the_one_before() -> None:
    config = ChunkingConfig("text", size=20, overlap=4, minimum=6)
    text = " ".join([sentence("Ant", 19), sentence("Bee", 16), "Bye now."])
    assert texts(cut(text, config))[-1] == f"ant ant. {sentence('Bee', 16)} Bye now."


def test_a_last_chunk_too_short_to_stand_and_too_long_to_join_takes_from_the_one_before() -> None:
    config = ChunkingConfig("text", size=20, overlap=0, minimum=8)
    text = " ".join([sentence("Ant", 10), sentence("Bee", 8), sentence("Cat", 4)])
    assert texts(cut(text, config)) == [
        sentence("Ant", 10),
        f"{sentence('Bee', 8)} Cat cat cat cat.",
    ]


def test_speech_without_punctuation_is_cut_between_words() -> None:
    words = [f"word{i}" for i in range(100)]
    chunks = cut(" ".join(words), SMALL)
    assert all(set(one.text.split()) <= set(words) for one in chunks)
    assert min(one.token_count for one in chunks[:-1]) >= 10


def test_a_sentence_end_is_preferred_to_the_end_of_a_word() -> None:
    text = " ".join([*[f"word{i}" for i in range(30)], "ends.", sentence("Ant", 12)])
    assert sentence("Ant", 12) in cut(text, SMALL)[-1].text
    assert cut(text, SMALL)[-2].text.endswith("ends.")


def test_an_emoji_of_many_code_points_is_not_cut_apart() -> None:
    family = "👩\u200d👩\u200d👧\u200d👦"
    for one in cut(family * 30, ChunkingConfig("text", 60, 0, 0), Bytes()):
        assert one.text.replace(family, "") == ""


def test_a_word_longer_than_wordpiece_reads_is_cut_so_that_it_is_read() -> None:
    word = "base64" * 50
    assert minilm().count(word) == 1  # [UNK]
    chunks = cut(f"see {word} there", ChunkingConfig("text"), minilm())
    assert [one.text for one in chunks] == [
        f"see {word[:100]}",
        word[100:200],
        f"{word[200:]} there",
    ]
    assert min(one.token_count for one in chunks) > 30


def test_a_word_the_model_cannot_read_in_parts_either_stays_whole() -> None:
    word = "👩" * 150
    assert texts(cut(f"see {word}.", ChunkingConfig("text"), minilm())) == [f"see {word}."]


def test_characters_without_a_token_are_kept() -> None:
    (one,) = cut("\x00\x07", ChunkingConfig("text"), minilm())
    assert (one.text, one.token_count) == ("\x00\x07", 0)


# --- segments -----------------------------------------------------------------------------


SPOKEN = ChunkingConfig("segments", size=20, overlap=0, minimum=5)
TALK = "One two three four five six. Seven eight nine ten eleven twelve."


def test_a_chunk_ends_where_the_speaker_changes() -> None:
    first, second = cut(TALK, SPOKEN, spans=said(TALK, speakers="AAAAAABBBBBB"))
    assert (first.text, first.speaker) == ("One two three four five six.", "A")
    assert (second.text, second.speaker) == ("Seven eight nine ten eleven twelve.", "B")


def test_a_chunk_ends_at_a_long_pause_even_within_a_sentence() -> None:
    chunks = cut(TALK, SPOKEN, spans=said(TALK, pauses={7: 2.1}))
    assert texts(chunks) == [TALK[:34], TALK[35:]]
    assert [(one.start_seconds, one.end_seconds) for one in chunks] == [(0.0, 7.0), (9.1, 14.1)]


def test_a_short_pause_ends_nothing() -> None:
    assert len(cut(TALK, SPOKEN, spans=said(TALK, pauses={6: 2.0}))) == 1


def test_a_turn_under_the_minimum_shares_a_chunk_and_who_spoke_longest_is_named() -> None:
    (one,) = cut(TALK, SPOKEN, spans=said(TALK, speakers="AAAABBBBBBBB"))
    assert one.speaker == "B"


def test_times_come_from_the_words_alone() -> None:
    text = f"(music) {TALK}"
    spans = said(text)[2:]
    (one,) = cut(text, SPOKEN, spans=spans)
    assert (one.start_seconds, one.end_seconds) == (2.0, 13.0)


def test_a_transcript_without_times_is_cut_like_text() -> None:
    text = " ".join(sentence(word) for word in ANIMALS)
    as_text = ChunkingConfig("text", size=20, overlap=0, minimum=5)
    assert texts(cut(text, SPOKEN)) == texts(cut(text, as_text))
    assert {one.start_seconds for one in cut(text, SPOKEN)} == {None}


def test_spans_out_of_order_are_refused() -> None:
    with pytest.raises(InvalidEngineOutput, match="out of order"):
        cut(TALK, SPOKEN, spans=said(TALK)[::-1])


# --- markdown -----------------------------------------------------------------------------

MARKDOWN = ChunkingConfig("markdown", size=20, overlap=6, minimum=5)


def test_a_document_that_fits_is_one_chunk() -> None:
    text = "# Title\n\nHello.\n\n## One\n\nAlpha."
    assert texts(cut(text + "\n", MARKDOWN)) == [text]


def test_sections_are_kept_whole_and_do_not_overlap() -> None:
    sections = [f"## {word}\n\n{sentence(word, 9)} {sentence(word, 5)}" for word in ANIMALS]
    assert texts(cut("\n\n".join(sections), MARKDOWN)) == sections


def test_small_neighbours_under_one_heading_share_a_chunk_and_no_other() -> None:
    one = "# One\n\n## A\n\nAlpha.\n\n## B\n\nBeta."
    two = f"# Two\n\n## C\n\n{sentence('Cat', 12)}"
    assert texts(cut(f"{one}\n\n{two}", MARKDOWN)) == [one, two]


def test_a_title_is_not_left_alone_before_a_section_that_must_be_cut() -> None:
    body = " ".join(sentence(word) for word in ANIMALS)
    chunks = cut(f"# Title\n\n## One\n\n{body}", MARKDOWN)
    assert chunks[0].text.startswith("# Title\n\n## One\n\nAnt ant ant ant ant.")


def test_a_long_section_is_cut_by_sentence_and_overlaps() -> None:
    body = " ".join(sentence(word) for word in ANIMALS)
    chunks = cut(f"## One\n\n{body}", MARKDOWN)
    assert all(one.text.endswith(".") for one in chunks)
    assert all(a.char_end > b.char_start for a, b in pairwise(chunks))


def test_a_long_list_is_cut_between_items() -> None:
    items = [f"- {sentence(word, 3)} {sentence(word, 3)}" for word in ANIMALS]
    text = "## List\n\n" + "\n".join(items)
    config = ChunkingConfig("markdown", size=20, overlap=0, minimum=5)
    parts = [part for one in cut(text, config) for part in one.text.split("\n") if part]
    assert parts == ["## List", *items]


def test_code_is_not_cut_and_its_comments_are_no_headings() -> None:
    code = "```python\n# one. Two\nx = 1\n\n# three. Four\n```"
    text = f"## Code\n\n{sentence('Ant', 12)}\n\n{code}\n\n{sentence('Bee', 8)}"
    assert sum(code in one.text for one in cut(text, MARKDOWN)) == 1


def test_code_too_long_for_a_chunk_is_cut_between_lines() -> None:
    lines = [f"x{i} = call one two" for i in range(12)]
    config = ChunkingConfig("markdown", size=20, overlap=0, minimum=5)
    chunks = cut("```\n" + "\n".join(lines) + "\n```", config)
    assert all(set(one.text.split("\n")) <= {"```", *lines} for one in chunks)


def test_a_passage_of_a_document_knows_when_it_was_said_and_a_heading_alone_does_not() -> None:
    text = f"# {sentence('Title', 12)}\n\n## One\n\n{sentence('Ant', 12)}"
    start = text.index("Ant ant")
    spans = [TimedSpan(start, len(text), 61.0, 64.5, "Ann")]
    title, section = cut(text, MARKDOWN, spans=spans)
    assert (title.start_seconds, title.speaker) == (None, None)
    assert (section.start_seconds, section.end_seconds, section.speaker) == (61.0, 64.5, "Ann")


# --- speed --------------------------------------------------------------------------------


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_four_hour_lecture_is_cut_in_seconds(strategy: Strategy) -> None:
    text = prose(random.Random(9), 40_000)
    spans = said(text)
    begin = time.thread_time()
    cut(text, ChunkingConfig(strategy), minilm(), spans)
    assert time.thread_time() - begin < 6  # about 1 s on an idle 2-core machine

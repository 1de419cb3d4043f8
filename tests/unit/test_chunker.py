"""Chunking: invariants for every strategy, tokenizer and text, and examples for each strategy."""

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
    make_spans,
    make_tokenizer,
    minilm,
    prose,
    split,
    spoken_texts,
)


def texts(chunks: Sequence[Chunk]) -> list[str]:
    return [chunk.text for chunk in chunks]


# --- invariants ---------------------------------------------------------------------------


@settings(max_examples=1_200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(spoken_texts(), configs(), TOKENIZERS, st.none() | TEXTS)
def test_chunks_keep_every_invariant_for_any_previous_chunks(
    timed_text: tuple[str, tuple[TimedSpan, ...]],
    config: ChunkingConfig,
    name: str,
    earlier_text: str | None,
) -> None:
    text, spans = timed_text
    tokenizer = make_tokenizer(name)
    earlier_text = (
        f"{text[: len(text) // 2]} {earlier_text} {text[len(text) // 2 :]}"
        if earlier_text is not None
        else ""
    )
    chunks = split(text, config, tokenizer, spans, before=split(earlier_text, config, tokenizer))

    assert [chunk.ordinal for chunk in chunks] == list(range(len(chunks)))
    for chunk in chunks:
        assert text[chunk.char_start : chunk.char_end] == chunk.text
        assert chunk.text
        assert chunk.text == chunk.text.strip()
        assert chunk.token_count == tokenizer.count(chunk.text) <= config.size

    covered = {i for chunk in chunks for i in range(chunk.char_start, chunk.char_end)}
    assert [c for i, c in enumerate(text) if i not in covered and not c.isspace()] == []

    for before, after in pairwise(chunks):
        assert before.char_start < after.char_start
        assert before.char_end < after.char_end
        shared = text[after.char_start : max(before.char_end, after.char_start)]
        assert tokenizer.count(shared) <= config.overlap

    timed = [
        chunk
        for chunk in chunks
        if chunk.start_seconds is not None and chunk.end_seconds is not None
    ]
    for chunk in timed:
        assert chunk.start_seconds is not None
        assert chunk.end_seconds is not None
        assert spans[0].start_seconds <= chunk.start_seconds <= chunk.end_seconds
        assert chunk.end_seconds <= spans[-1].end_seconds
        assert chunk.speaker in {span.speaker for span in spans}
    starts = [chunk.start_seconds for chunk in timed if chunk.start_seconds is not None]
    assert starts == sorted(starts)
    inside = {
        s for s in spans for chunk in timed if chunk.char_start <= s.char_start < chunk.char_end
    }
    assert inside == set(spans)


@settings(max_examples=150, deadline=None)
@given(TEXTS, configs(), TOKENIZERS)
def test_chunking_is_deterministic(text: str, config: ChunkingConfig, name: str) -> None:
    tokenizer = make_tokenizer(name)
    chunks = split(text, config, tokenizer)
    assert split(text, config, tokenizer) == chunks
    assert split(text, config, tokenizer, before=chunks) == chunks


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_blank_text_has_no_chunks(strategy: Strategy) -> None:
    assert split("", ChunkingConfig(strategy)) == ()
    assert split(" \n\u3000\t\u2029", ChunkingConfig(strategy)) == ()


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
def test_invalid_sizes_are_rejected(settings_: dict[str, int], fault: str) -> None:
    with pytest.raises(InvalidSettings, match=fault):
        ChunkingConfig(**{"strategy": "text", **settings_})  # type: ignore[arg-type]


def test_chunk_sizes_scale_with_the_models_window() -> None:
    assert ChunkingConfig("text").capped(256) == ChunkingConfig("text", 256, 25, 51)
    assert ChunkingConfig("text").capped(8_192) == ChunkingConfig("text")


@given(configs(), st.integers(8, 130))
def test_capped_sizes_are_always_valid(config: ChunkingConfig, window: int) -> None:
    assert config.capped(window).size == min(config.size, window)


def test_character_longer_than_a_chunk_is_named() -> None:
    class LettersOfTwentyTokens(Spaces):
        def count(self, text: str) -> int:
            return 20 * len(text)

    with pytest.raises(InvalidSettings, match="'a' alone has 20 tokens"):
        split("aa", ChunkingConfig("text", size=8, overlap=0, minimum=0), LettersOfTwentyTokens())


# --- text ---------------------------------------------------------------------------------

SMALL = ChunkingConfig("text", size=20, overlap=6, minimum=5)
ANIMALS = ["Ant", "Bee", "Cat", "Dog", "Elk", "Fox", "Gnu", "Hen"]


def sentence(word: str, length: int = 5) -> str:
    return " ".join([word, *[word.lower()] * (length - 1)]) + "."


def test_text_that_fits_is_one_chunk() -> None:
    text = " ".join(sentence(word) for word in ANIMALS[:4])
    assert texts(split(f"  {text}\n", SMALL)) == [text]


def test_sentences_stay_whole_and_the_last_one_overlaps() -> None:
    text = " ".join(sentence(word) for word in ANIMALS)
    chunks = split(text, SMALL)
    assert len(chunks) > 2
    for before, after in pairwise(chunks):
        assert re.fullmatch(r"(\w+( \w+){4}\. ?)+", after.text)
        assert text[after.char_start : before.char_end] == before.text[-len(sentence("Ant")) :]


def test_overlap_of_a_long_sentence_is_its_last_words() -> None:
    first, second = split(
        f"{sentence('Ant', 12)} {sentence('Bee', 10)}",
        ChunkingConfig("text", size=16, overlap=3, minimum=0),
    )
    assert first.text == sentence("Ant", 12)
    assert second.text == f"ant ant ant. {sentence('Bee', 10)}"


def test_sentence_without_spaces_overlaps_by_characters() -> None:
    text = "今天天气很好我们一起去公园散步吧。明天可能会下雨所以要带伞出门才行。"
    first, second = split(text, ChunkingConfig("text", 24, 5, 0), minilm(), language="zh")
    assert first.text == "今天天气很好我们一起去公园散步吧。"
    assert second.text == "园散步吧。明天可能会下雨所以要带伞出门才行。"


def test_long_sentence_stays_whole_at_the_cost_of_overlap() -> None:
    text = f"{sentence('Ant', 12)} {sentence('Bee', 18)}"
    assert texts(split(text, SMALL))[1] == f"ant ant. {sentence('Bee', 18)}"


def test_short_last_chunk_joins_the_previous_one() -> None:
    config = ChunkingConfig("text", size=20, overlap=4, minimum=6)
    text = " ".join([sentence("Ant", 19), sentence("Bee", 16), "Bye now."])
    assert texts(split(text, config))[-1] == f"ant ant. {sentence('Bee', 16)} Bye now."


def test_last_chunk_too_long_to_join_takes_text_from_the_previous_one() -> None:
    config = ChunkingConfig("text", size=20, overlap=0, minimum=8)
    text = " ".join([sentence("Ant", 10), sentence("Bee", 8), sentence("Cat", 4)])
    assert texts(split(text, config)) == [
        sentence("Ant", 10),
        f"{sentence('Bee', 8)} Cat cat cat cat.",
    ]


def test_speech_without_punctuation_is_split_between_words() -> None:
    words = [f"word{i}" for i in range(100)]
    chunks = split(" ".join(words), SMALL)
    assert all(set(chunk.text.split()) <= set(words) for chunk in chunks)
    assert min(chunk.token_count for chunk in chunks[:-1]) >= 10


def test_sentence_end_is_preferred_to_a_word_end() -> None:
    text = " ".join([*[f"word{i}" for i in range(30)], "ends.", sentence("Ant", 12)])
    assert sentence("Ant", 12) in split(text, SMALL)[-1].text
    assert split(text, SMALL)[-2].text.endswith("ends.")


def test_emoji_of_many_code_points_is_not_split() -> None:
    family = "👩\u200d👩\u200d👧\u200d👦"
    for chunk in split(family * 30, ChunkingConfig("text", 60, 0, 0), Bytes()):
        assert chunk.text.replace(family, "") == ""


def test_word_longer_than_wordpiece_reads_is_split() -> None:
    word = "base64" * 50
    assert minilm().count(word) == 1  # [UNK]
    chunks = split(f"see {word} there", ChunkingConfig("text"), minilm())
    assert [chunk.text for chunk in chunks] == [
        f"see {word[:100]}",
        word[100:200],
        f"{word[200:]} there",
    ]
    assert min(chunk.token_count for chunk in chunks) > 30


def test_word_unreadable_in_parts_stays_whole() -> None:
    word = "👩" * 150
    assert texts(split(f"see {word}.", ChunkingConfig("text"), minilm())) == [f"see {word}."]


def test_characters_without_a_token_are_kept() -> None:
    (chunk,) = split("\x00\x07", ChunkingConfig("text"), minilm())
    assert (chunk.text, chunk.token_count) == ("\x00\x07", 0)


# --- segments -----------------------------------------------------------------------------


SPOKEN = ChunkingConfig("segments", size=20, overlap=0, minimum=5)
TALK = "One two three four five six. Seven eight nine ten eleven twelve."


def test_chunk_ends_where_the_speaker_changes() -> None:
    first, second = split(TALK, SPOKEN, spans=make_spans(TALK, speakers="AAAAAABBBBBB"))
    assert (first.text, first.speaker) == ("One two three four five six.", "A")
    assert (second.text, second.speaker) == ("Seven eight nine ten eleven twelve.", "B")


def test_chunk_ends_at_a_long_pause_within_a_sentence() -> None:
    chunks = split(TALK, SPOKEN, spans=make_spans(TALK, pauses={7: 2.1}))
    assert texts(chunks) == [TALK[:34], TALK[35:]]
    assert [(chunk.start_seconds, chunk.end_seconds) for chunk in chunks] == [
        (0.0, 7.0),
        (9.1, 14.1),
    ]


def test_short_pause_ends_no_chunk() -> None:
    assert len(split(TALK, SPOKEN, spans=make_spans(TALK, pauses={6: 2.0}))) == 1


def test_short_turn_shares_a_chunk_named_after_the_longest_speaker() -> None:
    (chunk,) = split(TALK, SPOKEN, spans=make_spans(TALK, speakers="AAAABBBBBBBB"))
    assert chunk.speaker == "B"


def test_chunk_times_come_from_its_words() -> None:
    text = f"(music) {TALK}"
    spans = make_spans(text)[2:]
    (chunk,) = split(text, SPOKEN, spans=spans)
    assert (chunk.start_seconds, chunk.end_seconds) == (2.0, 13.0)


def test_transcript_without_times_is_split_like_text() -> None:
    text = " ".join(sentence(word) for word in ANIMALS)
    as_text = ChunkingConfig("text", size=20, overlap=0, minimum=5)
    assert texts(split(text, SPOKEN)) == texts(split(text, as_text))
    assert {chunk.start_seconds for chunk in split(text, SPOKEN)} == {None}


def test_unordered_spans_are_rejected() -> None:
    with pytest.raises(InvalidEngineOutput, match="out of order"):
        split(TALK, SPOKEN, spans=make_spans(TALK)[::-1])


# --- markdown -----------------------------------------------------------------------------

MARKDOWN = ChunkingConfig("markdown", size=20, overlap=6, minimum=5)


def test_document_that_fits_is_one_chunk() -> None:
    text = "# Title\n\nHello.\n\n## One\n\nAlpha."
    assert texts(split(text + "\n", MARKDOWN)) == [text]


def test_sections_stay_whole_and_do_not_overlap() -> None:
    sections = [f"## {word}\n\n{sentence(word, 9)} {sentence(word, 5)}" for word in ANIMALS]
    assert texts(split("\n\n".join(sections), MARKDOWN)) == sections


def test_small_sections_under_one_heading_share_a_chunk() -> None:
    first = "# One\n\n## A\n\nAlpha.\n\n## B\n\nBeta."
    two = f"# Two\n\n## C\n\n{sentence('Cat', 12)}"
    assert texts(split(f"{first}\n\n{two}", MARKDOWN)) == [first, two]


def test_title_stays_with_the_section_that_is_split() -> None:
    body = " ".join(sentence(word) for word in ANIMALS)
    chunks = split(f"# Title\n\n## One\n\n{body}", MARKDOWN)
    assert chunks[0].text.startswith("# Title\n\n## One\n\nAnt ant ant ant ant.")


def test_long_section_is_split_by_sentence_with_overlap() -> None:
    body = " ".join(sentence(word) for word in ANIMALS)
    chunks = split(f"## One\n\n{body}", MARKDOWN)
    assert all(chunk.text.endswith(".") for chunk in chunks)
    assert all(a.char_end > b.char_start for a, b in pairwise(chunks))


def test_long_list_is_split_between_items() -> None:
    items = [f"- {sentence(word, 3)} {sentence(word, 3)}" for word in ANIMALS]
    text = "## List\n\n" + "\n".join(items)
    config = ChunkingConfig("markdown", size=20, overlap=0, minimum=5)
    parts = [part for chunk in split(text, config) for part in chunk.text.split("\n") if part]
    assert parts == ["## List", *items]


def test_code_block_is_not_split_and_its_comments_are_no_headings() -> None:
    code = "```python\n# one. Two\nx = 1\n\n# three. Four\n```"
    text = f"## Code\n\n{sentence('Ant', 12)}\n\n{code}\n\n{sentence('Bee', 8)}"
    assert sum(code in chunk.text for chunk in split(text, MARKDOWN)) == 1


def test_long_code_block_is_split_between_lines() -> None:
    lines = [f"x{i} = call one two" for i in range(12)]
    config = ChunkingConfig("markdown", size=20, overlap=0, minimum=5)
    chunks = split("```\n" + "\n".join(lines) + "\n```", config)
    assert all(set(chunk.text.split("\n")) <= {"```", *lines} for chunk in chunks)


def test_document_chunk_has_times_and_a_lone_heading_has_none() -> None:
    text = f"# {sentence('Title', 12)}\n\n## One\n\n{sentence('Ant', 12)}"
    start = text.index("Ant ant")
    spans = [TimedSpan(start, len(text), 61.0, 64.5, "Ann")]
    title, section = split(text, MARKDOWN, spans=spans)
    assert (title.start_seconds, title.speaker) == (None, None)
    assert (section.start_seconds, section.end_seconds, section.speaker) == (61.0, 64.5, "Ann")


# --- speed --------------------------------------------------------------------------------


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_four_hour_lecture_is_chunked_in_seconds(strategy: Strategy) -> None:
    text = prose(random.Random(9), 40_000)
    spans = make_spans(text)
    begin = time.thread_time()
    split(text, ChunkingConfig(strategy), minilm(), spans)
    assert time.thread_time() - begin < 6  # about 1 s on an idle 2-core machine

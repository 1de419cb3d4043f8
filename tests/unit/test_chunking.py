"""What chunks promise, for every strategy, tokenizer and text; and what each strategy does."""

from __future__ import annotations

import random
import re
import time
from collections.abc import Sequence
from functools import cache
from itertools import pairwise
from typing import get_args

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline_assets.transforms.chunking import ChunkingConfig, Strategy, chunk
from resources.embedding.protocol import Tokenizer
from resources.embedding.tokens import FileTokenizer
from resources.errors import InvalidResult, InvalidSettings
from resources.packaged_models import minilm_folder
from resources.records import Chunk, TimedSpan

STRATEGIES: tuple[Strategy, ...] = get_args(Strategy)


class Spaces:
    """A token a word: what readable examples count."""

    def offsets(self, text: str) -> Sequence[tuple[int, int]]:
        return [match.span() for match in re.finditer(r"\S+", text)]

    def count(self, text: str) -> int:
        return len(text.split())


class Bytes:
    """A token a byte: the extreme of byte-level vocabularies, four tokens for an emoji."""

    def offsets(self, text: str) -> Sequence[tuple[int, int]]:
        sizes = [len(character.encode("utf-8", "surrogatepass")) for character in text]
        return [(i, i + 1) for i, size in enumerate(sizes) for _ in range(size)]

    def count(self, text: str) -> int:
        return len(text.encode("utf-8", "surrogatepass"))


@cache
def minilm() -> FileTokenizer:
    return FileTokenizer(minilm_folder() / "tokenizer.json")


def cut(
    text: str,
    config: ChunkingConfig,
    tokenizer: Tokenizer | None = None,
    spans: Sequence[TimedSpan] = (),
    language: str = "en",
) -> tuple[Chunk, ...]:
    tokenizer = tokenizer or Spaces()
    return chunk(
        "document", text, config=config, tokenizer=tokenizer, language=language, spans=spans
    )


def texts(chunks: Sequence[Chunk]) -> list[str]:
    return [one.text for one in chunks]


# --- promises -----------------------------------------------------------------------------

PIECES = st.sampled_from(
    [
        *"# |## Sub|### Deep|- item|* star|  - nested|1. first|```|```python|~~~|> quote|---|===".split(
            "|"
        ),
        *"\n|\n\n|\r\n| |  |\t|\u3000|\u00a0|\u2029|\x1c|\x00|\x07|\u200d|\ufeff|\ufffd".split("|"),
        *"Hello there.|What? No!|Dr. Mills said so.|e.g. this one|don't|3.14|[SEP]|x = 1;".split(
            "|"
        ),
        *"今天天气很好。|これはテストです|안녕하세요|สวัสดีครับ|नमस्ते दुनिया।|مرحبا بالعالم؟|Привет, мир.|ﷺ".split(
            "|"
        ),
        *"👩\u200d👩\u200d👧\u200d👦|🇫🇷|e\u0301|Z\u0351\u036b\u0343\u036a|İ|ß|ﬁ|𝔘𝔫𝔦".split("|"),
        "x" * 130,
        "word " * 40,
        "가나다라마바사" * 9,
        "a\u0301" * 70,
        "https://example.org/a-b/c?d=e&f=g",
    ]
)
TEXTS = st.one_of(
    st.text(max_size=120),  # lone surrogates too
    st.lists(st.one_of(PIECES, PIECES, st.text(max_size=6)), max_size=40).map("".join),
    st.lists(PIECES, max_size=40).map(" ".join),
    st.text(alphabet=" \n\t\u00a0\u2003", max_size=20),
)
TOKENIZERS = st.sampled_from(["minilm", "spaces", "bytes"])


@st.composite
def configs(draw: st.DrawFn) -> ChunkingConfig:
    size = draw(st.one_of(st.integers(8, 20), st.integers(8, 120)))
    return ChunkingConfig(
        strategy=draw(st.sampled_from(STRATEGIES)),
        size=size,
        overlap=draw(st.integers(0, size - 1)),
        minimum=draw(st.integers(0, size)),
    )


@st.composite
def spoken(draw: st.DrawFn) -> tuple[str, tuple[TimedSpan, ...]]:
    """A text and times for some of its words, sometimes with speakers and long pauses."""
    text = draw(TEXTS)
    speakers = draw(st.sampled_from([[None], ["Ann", "Bob"], [None, "Ann"]]))
    spans, now = [], 0.0
    for word in re.finditer(r"\S+", text):
        now += draw(st.sampled_from([0.0, 0.0, 0.1, 2.5]))
        if draw(st.integers(0, 4)):
            spans.append(TimedSpan(*word.span(), now, now + 0.3, draw(st.sampled_from(speakers))))
        now += 0.3
    return text, tuple(spans)


def tokenizer_named(name: str) -> Tokenizer:
    return {"minilm": minilm, "spaces": Spaces, "bytes": Bytes}[name]()


@settings(max_examples=1_200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(spoken(), configs(), TOKENIZERS)
def test_every_chunk_keeps_its_promises(
    said: tuple[str, tuple[TimedSpan, ...]], config: ChunkingConfig, name: str
) -> None:
    text, spans = said
    tokenizer = tokenizer_named(name)
    chunks = cut(text, config, tokenizer, spans)

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
    assert cut(text, config, tokenizer_named(name)) == cut(text, config, tokenizer_named(name))

"""Hypothesis strategies for chunking: tokenizers of three kinds, random texts, sizes and times.

``test_chunker.py`` and ``test_stable_boundaries.py`` use them.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Sequence
from functools import cache
from typing import get_args

from hypothesis import strategies as st

from playhead.chunking.chunker import ChunkingConfig, Strategy, chunk
from playhead.core.packaged_models import minilm_folder
from playhead.core.protocols.embedder import Tokenizer
from playhead.core.records import Chunk, ChunkSpan, TimedSpan
from playhead.engines.embedding.tokenizer import FileTokenizer
from playhead.transcripts.timeline import Timeline

STRATEGIES: tuple[Strategy, ...] = get_args(Strategy)


class Spaces:
    """A tokenizer with one token per word, for readable examples."""

    def offsets(self, text: str) -> Sequence[tuple[int, int]]:
        return [match.span() for match in re.finditer(r"\S+", text)]

    def count(self, text: str) -> int:
        return len(text.split())


class Bytes:
    """A tokenizer with one token per byte, like the extreme of byte-level vocabularies."""

    def offsets(self, text: str) -> Sequence[tuple[int, int]]:
        sizes = [len(character.encode("utf-8", "surrogatepass")) for character in text]
        return [(i, i + 1) for i, size in enumerate(sizes) for _ in range(size)]

    def count(self, text: str) -> int:
        return len(text.encode("utf-8", "surrogatepass"))


SPACES = Spaces()


@cache
def minilm() -> FileTokenizer:
    return FileTokenizer(minilm_folder() / "tokenizer.json")


_MARKS = ["# ", "## Sub", "### Deep", "- item", "* star", "  - nested", "1. first", "```", "~~~"]
_MARKS += [
    "```python",
    "> quote",
    "---",
    "===",
    "    indented",
    "<p>",
    "[a]: http://b",
    "| a | b |",
]
_BLANKS = ["\n", "\n\n", "\r\n", "\r", " ", "  ", "\t", "\u3000", "\u00a0", "\u2029", "\x1c"]
_ENGLISH = [
    "Hello there.",
    "What? No!",
    "Dr. Mills said so.",
    "e.g. this",
    "don't",
    "3.14",
    "[SEP]",
]
_SCRIPTS = [
    "今天天气很好。",
    "これはテストです",
    "안녕하세요",
    "สวัสดีครับ",
    "नमस्ते दुनिया।",
    "Привет, мир.",
]
_SCRIPTS += ["مرحبا بالعالم؟", "ﷺ", "İ", "ß", "ﬁ", "𝔘𝔫𝔦", "e\u0301", "Z\u0351\u036b\u0343\u036a"]
_SYMBOLS = ["👩\u200d👩\u200d👧\u200d👦", "🇫🇷", "\x00", "\x07", "\u200d", "\ufeff", "\ufffd"]
_LONG = [
    "x" * 130,
    "word " * 40,
    "가나다라마바사" * 9,
    "a\u0301" * 70,
    "https://example.org/a-b/c?d=e",
]

PIECES = st.sampled_from(_MARKS + _BLANKS + _ENGLISH + _SCRIPTS + _SYMBOLS + _LONG)
TEXTS = st.one_of(
    st.text(max_size=120),  # lone surrogates too
    st.lists(st.one_of(PIECES, st.text(max_size=6)), min_size=8, max_size=40).map("".join),
    st.lists(PIECES, min_size=8, max_size=40).map(" ".join),
    st.lists(PIECES, min_size=8, max_size=40).map("\n".join),
)


_TOKENIZERS: dict[str, Callable[[], Tokenizer]] = {
    "minilm": minilm,
    "spaces": Spaces,
    "bytes": Bytes,
}
TOKENIZERS = st.sampled_from(sorted(_TOKENIZERS))
_SPEAKERS: list[list[str | None]] = [[None], ["Ann", "Bob"], [None, "Ann"]]


@st.composite
def configs(draw: st.DrawFn) -> ChunkingConfig:
    size = draw(st.one_of(st.integers(8, 24), st.integers(8, 120)))
    return ChunkingConfig(
        strategy=draw(st.sampled_from(STRATEGIES)),
        size=size,
        overlap=draw(st.integers(0, size - 1)),
        minimum=draw(st.integers(0, size)),
    )


@st.composite
def spoken_texts(draw: st.DrawFn) -> tuple[str, tuple[TimedSpan, ...]]:
    """Draw a text and times for some of its words, sometimes with speakers and long pauses."""
    text = draw(TEXTS)
    speakers = draw(st.sampled_from(_SPEAKERS))
    spans, now = [], 0.0
    for word in re.finditer(r"\S+", text):
        now += draw(st.sampled_from([0.0, 0.0, 0.1, 2.5]))
        if draw(st.integers(0, 4)):
            spans.append(TimedSpan(*word.span(), now, now + 0.3, draw(st.sampled_from(speakers))))
        now += 0.3
    return text, tuple(spans)


def make_tokenizer(name: str) -> Tokenizer:
    return _TOKENIZERS[name]()


def make_spans(
    text: str, *, speakers: str = "", pauses: dict[int, float] | None = None
) -> list[TimedSpan]:
    """Return spans of one second per word.

    ``speakers`` has a letter per word; ``pauses`` maps a word's index to seconds before it.
    """
    now, spans = 0.0, []
    for i, word in enumerate(re.finditer(r"\S+", text)):
        now += (pauses or {}).get(i, 0.0)
        speaker = speakers[i] if speakers else None
        spans.append(TimedSpan(*word.span(), now, now + 1.0, speaker))
        now += 1.0
    return spans


SYLLABLES = [c + v for c in "bdfgklmnprstvz" for v in "aeiou"]


def prose(rng: random.Random, words: int) -> str:
    """Return sentences of 3 to 40 made-up words as in speech, none of them repeated."""
    vocabulary = ["".join(rng.choices(SYLLABLES, k=rng.randint(1, 4))) for _ in range(4_000)]
    sentences: list[str] = []
    while words > 0:
        length = min(40, max(3, round(rng.lognormvariate(2.6, 0.6))))
        sentences.append(" ".join(rng.choices(vocabulary, k=length)).capitalize() + ".")
        words -= length
    return " ".join(sentences)


def split(
    text: str,
    config: ChunkingConfig,
    tokenizer: Tokenizer = SPACES,
    spans: Sequence[TimedSpan] = (),
    language: str = "en",
    before: Sequence[Chunk] = (),
) -> tuple[Chunk, ...]:
    return chunk(
        "document",
        text,
        config=config,
        tokenizer=tokenizer,
        language_runs=((0, language),),
        timeline=Timeline.of(spans),
        before=[ChunkSpan(chunk.text, chunk.char_start, chunk.char_end) for chunk in before],
    )

"""Chunking: splits a text into ``Chunk``s to embed, by one of three strategies."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice, pairwise
from typing import Literal, get_args

import numpy as np

from playhead.chunking.markdown_sections import Block, Outline, Section, outline
from playhead.chunking.packing import pack
from playhead.chunking.stable_boundaries import stable_boundaries
from playhead.chunking.units import Boundary, TokenCounter, Unit
from playhead.core.errors import InvalidSettings
from playhead.core.protocols.embedder import Tokenizer
from playhead.core.records import Chunk, ChunkSpan, Source
from playhead.core.sentences import LanguageRuns, Range, language_runs_within, split_multilingual
from playhead.transcripts.timeline import Timeline

Strategy = Literal["text", "segments", "markdown"]

#: Minimum chunk size in tokens. Some characters have several: four in a byte-level vocabulary, more
#: if a tokenizer expands a ligature.
MIN_SIZE = 8

#: Silence after which the same speaker counts as a new turn.
LONG_PAUSE_SECONDS = 2.0

_LINE = re.compile(r"[^\n]+")


@dataclass(frozen=True, slots=True)
class ChunkingConfig:
    """Settings of the chunker, in tokens of the embedding model.

    ``size`` is the maximum of a chunk, ``overlap`` the maximum that it repeats of the previous one.
    ``minimum`` is the number of tokens that the last chunk has of its own where possible, and that
    a chunk must have before a change of speaker ends it. Raises ``InvalidSettings`` with all
    errors.
    """

    strategy: Strategy
    size: int = 500
    overlap: int = 50
    minimum: int = 100

    def __post_init__(self) -> None:
        faults = []
        if self.strategy not in get_args(Strategy):
            faults.append(f"strategy is {self.strategy!r}, not one of {get_args(Strategy)}")
        if self.size < MIN_SIZE:
            faults.append(f"size is {self.size} tokens, less than {MIN_SIZE}")
        if not 0 <= self.overlap < self.size:
            faults.append(f"overlap is {self.overlap} tokens, not from 0 to below {self.size}")
        if not 0 <= self.minimum <= self.size:
            faults.append(f"minimum is {self.minimum} tokens, not from 0 to {self.size}")
        if faults:
            raise InvalidSettings(
                "invalid chunk sizes: " + "; ".join(faults),
                remedy="Set 0 <= overlap < size and 0 <= minimum <= size.",
            )

    def capped(self, window_tokens: int) -> ChunkingConfig:
        """Return a configuration whose ``size`` fits a model window of ``window_tokens``.

        If ``size`` is too large, all three values are scaled down in proportion, so that the model
        reads every token of a chunk.
        """
        if self.size <= window_tokens:
            return self
        return replace(
            self,
            size=window_tokens,
            overlap=self.overlap * window_tokens // self.size,
            minimum=self.minimum * window_tokens // self.size,
        )


def chunk(
    source: Source,
    text: str,
    *,
    config: ChunkingConfig,
    tokenizer: Tokenizer,
    language_runs: LanguageRuns,
    timeline: Timeline,
    before: Sequence[ChunkSpan] = (),
) -> tuple[Chunk, ...]:
    """Split ``text`` into chunks of at most ``config.size`` tokens, in order.

    A blank text has none. The chunks cover every character that is not white space; each is
    ``text[char_start:char_end]``, without white space at its ends. Their times and speakers come
    from the ``timeline``. If there are several languages, each chunk has its own.

    - ``text``: whole sentences; each chunk begins with the last sentences of the previous one.
    - ``segments``: as ``text``, and a chunk with at least ``minimum`` tokens ends where the speaker
      changes or pauses for more than ``LONG_PAUSE_SECONDS``.
    - ``markdown``: whole sections, small neighbours together. Only a section that is too long is
      split into sentences, list items and code blocks, and only there chunks overlap.

    A sentence that exceeds a chunk is split between words, else between graphemes. Characters
    without a token in the tokenizer stay in the chunk; the model does not read them. The boundaries
    of ``before``, the chunks of an earlier version of the text, are reused where possible, so that
    only corrected chunks change. Raises ``InvalidEngineOutput`` if the timeline is out of order.
    """
    timeline.check_order()
    counter = TokenCounter(text, tokenizer, config.size)
    boundaries = stable_boundaries(text, before)
    if config.strategy == "markdown":
        ranges = list(_Markdown(counter, config, language_runs, outline(text), boundaries).ranges())
    else:
        turns = _speaker_turns(timeline) if config.strategy == "segments" else frozenset()
        units = list(_sentence_units(counter, (0, len(text)), language_runs, turns))
        ranges = pack(
            units, counter, overlap=config.overlap, minimum=config.minimum, boundaries=boundaries
        )
    return tuple(_chunks(source, counter, ranges, timeline, language_runs))


def _chunks(
    source: Source,
    counter: TokenCounter,
    ranges: Sequence[Range],
    timeline: Timeline,
    language_runs: LanguageRuns,
) -> Iterator[Chunk]:
    timed = zip(ranges, timeline.seconds(ranges), timeline.speakers(ranges), strict=True)
    for ordinal, ((start, end), seconds, speaker) in enumerate(timed):
        yield Chunk(
            source=source,
            text=counter.text[start:end],
            ordinal=ordinal,
            char_start=start,
            char_end=end,
            start_seconds=seconds[0],
            end_seconds=seconds[1],
            speaker=speaker,
            token_count=counter.count(start, end),
            language=_language(language_runs, start, end) if len(language_runs) > 1 else None,
        )


def _language(language_runs: LanguageRuns, start: int, end: int) -> str:
    """Return the language with the most characters in the range, the first of equals."""
    runs = language_runs_within(language_runs, start, end)
    lengths: Counter[str] = Counter()
    for (at, language), (until, _) in pairwise([*runs, (end - start, "")]):
        lengths[language] += until - at
    return max(lengths, key=lambda language: lengths[language])


def _speaker_turns(timeline: Timeline) -> frozenset[int]:
    """Return where another speaker begins, or the same one after a long pause."""
    changes = np.diff(timeline.speaker_indices) != 0
    pauses = timeline.start_seconds[1:] - timeline.end_seconds[:-1]
    turns = timeline.char_starts[1:][changes | (pauses > LONG_PAUSE_SECONDS)]
    return frozenset(turns.tolist())


def _sentence_units(
    counter: TokenCounter,
    within: Range,
    language_runs: LanguageRuns,
    speaker_turns: frozenset[int] = frozenset(),
) -> Iterator[Unit]:
    """Yield the sentences of a range, split at speaker turns as well."""
    start, end = within
    runs = language_runs_within(language_runs, start, end)
    starts = {start + at for at, _ in split_multilingual(counter.text[start:end], runs)}
    for begin, until in pairwise(sorted({*starts, *speaker_turns, start, end})):
        edge = Boundary.TURN if begin in speaker_turns else Boundary.SENTENCE
        yield from counter.units(begin, until, edge)


@dataclass(frozen=True, slots=True)
class _Markdown:
    counter: TokenCounter
    config: ChunkingConfig
    language_runs: LanguageRuns
    outline: Outline
    boundaries: frozenset[int]

    def ranges(self) -> Iterator[Range]:
        return self._merge_small_sections([self.outline.root])

    def _merge_small_sections(self, sections: Sequence[Section]) -> Iterator[Range]:
        """Yield ranges of whole sections that fit, small ones merged.

        A section that does not fit also takes the text before it if that is too short for its own
        chunk.
        """
        run: list[Unit] = []
        run_start = sections[0].start
        for section in sections:
            units = list(
                islice(self.counter.units(section.start, section.end, Boundary.SENTENCE), 2)
            )
            if len(units) < 2:
                run += units
                continue
            if sum(unit.tokens for unit in run) >= self.config.minimum:
                yield from self._pack(run, overlap=0)
                run_start = section.start
            yield from self._split_section(replace(section, start=run_start))
            run, run_start = [], section.end
        yield from self._pack(run, overlap=0)

    def _split_section(self, section: Section) -> Iterator[Range]:
        if section.children:
            yield from self._merge_small_sections(section.parts())
        else:
            blocks = self.outline.blocks_in(section.start, section.end)
            units = [unit for block in blocks for unit in self._block_units(block)]
            yield from self._pack(units, overlap=self.config.overlap)

    def _block_units(self, block: Block) -> Iterator[Unit]:
        """Yield units of a block: list items and code whole if they fit.

        Code that does not fit is split by line, everything else by sentence.
        """
        counter, at = self.counter, (block.start, block.end)
        if block.kind != "prose" and counter.count(*at) <= counter.size:
            yield from counter.units(*at, Boundary.SENTENCE)
        elif block.kind == "code":
            for line in _LINE.finditer(counter.text, *at):
                yield from counter.units(*line.span(), Boundary.SENTENCE)
        else:
            yield from _sentence_units(counter, at, self.language_runs)

    def _pack(self, units: Sequence[Unit], overlap: int) -> list[Range]:
        minimum, boundaries = self.config.minimum, self.boundaries
        return pack(units, self.counter, overlap=overlap, minimum=minimum, boundaries=boundaries)

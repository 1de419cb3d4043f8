"""Passages to embed: a text and a configuration in, ``Chunk``s out.

Here: the settings, the three strategies, the one entry ``chunk``. Not here: sentences
(``playhead/core/sentences.py``), what is too long for a chunk (``units.py``), where chunks end and how
they overlap (``packing.py``), which ends stay (``keeping.py``), Markdown's structure
(``sections.py``), times (``playhead/transcripts/timeline.py``).
"""

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

#: Tokens. Some characters are several: four in a byte-level vocabulary, more where a
#: tokenizer spells out a ligature.
MIN_SIZE = 8

#: Silence after which the same speaker is taken to begin anew.
LONG_PAUSE_SECONDS = 2.0

_LINE = re.compile(r"[^\n]+")


@dataclass(frozen=True, slots=True)
class ChunkingConfig:
    """How to cut, in tokens of the embedding model. ``size``: the most a chunk has;
    ``overlap``: the most it repeats of the one before; ``minimum``: what the last chunk has
    of its own where that can be, and what a chunk has before a change of speaker ends it.
    Raises ``InvalidSettings`` with all that is wrong."""

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
                "chunking cannot work so: " + "; ".join(faults),
                remedy="Set 0 <= overlap < size and 0 <= minimum <= size.",
            )

    def capped(self, window_tokens: int) -> ChunkingConfig:
        """The same where ``size`` fits a model that reads ``window_tokens``; else all three
        scaled down alike, so that the model reads every token of a chunk."""
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
    tongues: LanguageRuns,
    timeline: Timeline,
    before: Sequence[ChunkSpan] = (),
) -> tuple[Chunk, ...]:
    """Cut ``text`` into passages of at most ``config.size`` tokens, in order; a blank text
    has none. Together they hold every character that is not white space; each is
    ``text[char_start:char_end]``, without white space at its ends. Their times and
    speakers are by the ``timeline``; where ``tongues`` has several languages, each says its own.

    - ``text``: whole sentences; each chunk begins with the last sentences of the one before.
    - ``segments``: as ``text``, and a chunk of ``minimum`` tokens ends where the speaker
      changes or pauses for more than ``LONG_PAUSE_SECONDS``.
    - ``markdown``: whole sections, small neighbours together; only within a section that is
      too long do sentences, list items and code blocks part, and chunks overlap.

    What exceeds a chunk is cut between words, else between graphemes. Characters for which
    a tokenizer has no token are kept; the model does not read them. What was cut ``before``
    of an earlier version of the text is cut there again where it can be, so that only those
    passages change that were corrected. Raises ``InvalidResult`` for a timeline out of order.
    """
    timeline.check_order()
    ruler = TokenCounter(text, tokenizer, config.size)
    kept = stable_boundaries(text, before)
    if config.strategy == "markdown":
        ranges = list(_Markdown(ruler, config, tongues, outline(text), kept).ranges())
    else:
        turns = _speaker_turns(timeline) if config.strategy == "segments" else frozenset()
        units = list(_sentence_units(ruler, (0, len(text)), tongues, turns))
        ranges = pack(units, ruler, overlap=config.overlap, minimum=config.minimum, kept=kept)
    return tuple(_chunks(source, ruler, ranges, timeline, tongues))


def _chunks(
    source: Source,
    ruler: TokenCounter,
    ranges: Sequence[Range],
    timeline: Timeline,
    tongues: LanguageRuns,
) -> Iterator[Chunk]:
    timed = zip(ranges, timeline.seconds(ranges), timeline.speakers(ranges), strict=True)
    for ordinal, ((start, end), seconds, speaker) in enumerate(timed):
        yield Chunk(
            source=source,
            text=ruler.text[start:end],
            ordinal=ordinal,
            char_start=start,
            char_end=end,
            start_seconds=seconds[0],
            end_seconds=seconds[1],
            speaker=speaker,
            token_count=ruler.count(start, end),
            language=_language(tongues, start, end) if len(tongues) > 1 else None,
        )


def _language(tongues: LanguageRuns, start: int, end: int) -> str:
    """The one of most characters, the first of equals."""
    here = language_runs_within(tongues, start, end)
    lengths: Counter[str] = Counter()
    for (at, language), (until, _) in pairwise([*here, (end - start, "")]):
        lengths[language] += until - at
    return max(lengths, key=lambda language: lengths[language])


def _speaker_turns(timeline: Timeline) -> frozenset[int]:
    """Where another speaker begins, or the same one after a long pause."""
    others = np.diff(timeline.voices) != 0
    pauses = timeline.start_seconds[1:] - timeline.end_seconds[:-1]
    turns = timeline.char_starts[1:][others | (pauses > LONG_PAUSE_SECONDS)]
    return frozenset(turns.tolist())


def _sentence_units(
    ruler: TokenCounter, within: Range, tongues: LanguageRuns, turns: frozenset[int] = frozenset()
) -> Iterator[Unit]:
    """The sentences of a range, cut at turns too."""
    start, end = within
    here = language_runs_within(tongues, start, end)
    starts = {start + at for at, _ in split_multilingual(ruler.text[start:end], here)}
    for left, right in pairwise(sorted({*starts, *turns, start, end})):
        edge = Boundary.TURN if left in turns else Boundary.SENTENCE
        yield from ruler.units(left, right, edge)


@dataclass(frozen=True, slots=True)
class _Markdown:
    ruler: TokenCounter
    config: ChunkingConfig
    tongues: LanguageRuns
    outline: Outline
    kept: frozenset[int]

    def ranges(self) -> Iterator[Range]:
        return self._merge_small_sections([self.outline.root])

    def _merge_small_sections(self, sections: Sequence[Section]) -> Iterator[Range]:
        """Sections that fit are kept whole, small ones together. One that does not fit takes
        along what stands before it where that is too little for a chunk of its own."""
        run: list[Unit] = []
        run_start = sections[0].start
        for section in sections:
            whole = list(islice(self.ruler.units(section.start, section.end, Boundary.SENTENCE), 2))
            if len(whole) < 2:
                run += whole
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
        """Items and code whole where they fit; else code by line, all the rest by sentence."""
        ruler, at = self.ruler, (block.start, block.end)
        if block.kind != "prose" and ruler.count(*at) <= ruler.size:
            yield from ruler.units(*at, Boundary.SENTENCE)
        elif block.kind == "code":
            for line in _LINE.finditer(ruler.text, *at):
                yield from ruler.units(*line.span(), Boundary.SENTENCE)
        else:
            yield from _sentence_units(ruler, at, self.tongues)

    def _pack(self, units: Sequence[Unit], overlap: int) -> list[Range]:
        minimum, kept = self.config.minimum, self.kept
        return pack(units, self.ruler, overlap=overlap, minimum=minimum, kept=kept)

"""The offline writer: key phrases and quoted sentences, each with its time.

It uses no language model and invents nothing. ``sentence_ranking.py`` selects the quotes,
``timed_sentences.py`` provides sentences with times, ``markdown_page.py`` writes Markdown,
``document_header.py`` writes the header. The layout of its documents:

    # Title
    *Interview · 0:12:10 · language: en*
    Quoted from the recording by the offline writer; …
    ## Key phrases                        if the language allows; each with its first second
    ## Highlights                         of recordings with several sections
    ## 0:00:00–0:05:12 · a key phrase     one per five minutes, approximately

After the key phrases it only quotes, and marks that position (``quotes_from``): these sentences are
searched in the transcript.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

from playhead.core.records import FREE, Cost, Document, Engine, Kind, Transcript
from playhead.core.timecode import format_timecode
from playhead.engines.writing.document_header import write_header, write_silence
from playhead.engines.writing.markdown_page import Page, escape_heading
from playhead.engines.writing.sentence_ranking import (
    Vector,
    key_phrases,
    phrase_extractor,
    representative_sentences,
    split_by_topic,
    term_vectors,
)
from playhead.engines.writing.timed_sentences import SpokenSentence, spoken_seconds, timed_sentences

_LAYOUT_VERSION = 2  # increase it with every change to the output of this package

_DISCLAIMER = (
    "Quoted from the recording by the offline writer; nothing here was written by a language model."
)
_KEY_PHRASES = 10
_HIGHLIGHTS = 8
_QUOTES_PER_SECTION = 8


@dataclass(frozen=True, slots=True)
class DocumentSection:
    phrase: str | None
    start: float
    end: float
    quotes: list[SpokenSentence]


@dataclass(frozen=True, slots=True)
class _Findings:
    phrases: list[tuple[str, SpokenSentence]]
    highlights: list[SpokenSentence]
    groups: list[DocumentSection]


class ExtractiveWriter:
    """The default writer: deterministic, any language, a second or two for a full day."""

    price = FREE

    @property
    def engine(self) -> Engine:
        parameters = {"layout": _LAYOUT_VERSION, "sentencex": version("sentencex")}
        return Engine("extractive", f"yake-{version('yake')}", parameters)

    def write(self, transcript: Transcript, *, title: str, kind: Kind) -> tuple[Document, Cost]:
        page = Page()
        write_header(page, transcript, title=title, kind=kind, note=_DISCLAIMER)
        sentences = timed_sentences(transcript)
        metadata: dict[str, Any] = {"writer": "extractive", "key_phrases": []}
        if sentences:
            findings = _analyze(sentences, transcript.language)
            _write_key_phrases(page, findings.phrases, transcript.duration_seconds)
            metadata["key_phrases"] = [phrase for phrase, _ in findings.phrases]
            metadata["quotes_from"] = len(page.content)
            _write_quotes(page, findings, transcript.duration_seconds)
        else:
            write_silence(page, transcript.duration_seconds)
        metadata["sections"] = page.sections
        return Document(title, page.content, "markdown", tuple(page.spans), metadata), Cost()


def _analyze(sentences: list[SpokenSentence], language: str) -> _Findings:
    extractor = phrase_extractor(language)
    vectors = term_vectors(sentences, extractor.stopword_set)
    ranges = split_by_topic(sentences, vectors)
    used: set[str] = set()
    sections = []
    for positions in ranges:
        part = [sentences[i] for i in positions]
        phrase = _unused_phrase((phrase for phrase, _ in key_phrases(extractor, part)), used)
        quotes = representative_sentences(vectors, positions, _QUOTES_PER_SECTION)
        sections.append(
            DocumentSection(phrase, *spoken_seconds(part), [sentences[i] for i in quotes])
        )
    return _Findings(
        key_phrases(extractor, sentences)[:_KEY_PHRASES],
        [sentences[i] for i in _highlights(vectors, ranges)],
        sections,
    )


def _highlights(vectors: list[Vector], ranges: list[range]) -> list[int]:
    """Return the positions of the highlights, at most one sentence per section.

    They therefore span the recording. A single section has none, since it quotes its best sentences
    anyway.
    """
    if len(ranges) == 1:
        return []
    best = [i for positions in ranges for i in representative_sentences(vectors, positions, 1)]
    return representative_sentences(vectors, best, _HIGHLIGHTS)


def _unused_phrase(phrases: Iterable[str], used: set[str]) -> str | None:
    """Return the best phrase that heads no earlier section, and add it to ``used``."""
    for phrase in phrases:
        if (folded := phrase.casefold()) not in used:
            used.add(folded)
            return phrase
    return None


def _write_key_phrases(
    page: Page, phrases: list[tuple[str, SpokenSentence]], duration: float
) -> None:
    if phrases:
        with page.section("Key phrases", 0.0, duration):
            page.add("\n")
            for phrase, sentence in phrases:
                _write_quote(page, "- ", phrase, sentence)


def _write_quotes(page: Page, findings: _Findings, duration: float) -> None:
    if findings.highlights:
        with page.section("Highlights", 0.0, duration):
            page.add("\n")
            for sentence in findings.highlights:
                _write_quote(page, "- ", sentence.text, sentence)
    for group in findings.groups:
        with page.section(_heading(group), group.start, group.end):
            for sentence in group.quotes:
                _write_quote(page, "\n", sentence.text, sentence)


def _write_quote(page: Page, opening: str, line: str, sentence: SpokenSentence) -> None:
    page.add(f"{opening}[{format_timecode(sentence.start)}] ")
    page.quote(line, sentence.start, sentence.end)
    page.add("\n")


def _heading(group: DocumentSection) -> str:
    times = f"{format_timecode(group.start)}–{format_timecode(group.end)}"
    return f"{times} · {escape_heading(group.phrase)}" if group.phrase else times

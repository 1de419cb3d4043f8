"""The minutes of an answer: who writes it is heard, and what is proved is written down.

A sentence is written down when a quote that it cites stands in a passage that was retrieved, and no
number in it is invented. All else is left out and counted. Not here: finding and writing
(``answers.py``).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from playhead.answers.quote_matching import find_quote, numbers_in, quote_times
from playhead.answers.sanitize import sanitize
from playhead.core.protocols.answerer import AnswerRequest, DraftCitation, DraftSentence, Excerpt
from playhead.core.timecode import format_timecode
from playhead.transcripts.word_positions import TimedText

#: Whether a citation's words still stand where they stood; of a forgotten recording nothing does.
State = Literal["current", "corrected", "forgotten"]


@dataclass(frozen=True, slots=True)
class Citation:
    """``quote`` was said from ``start_seconds`` on; ``link`` opens the media there. Of one whose
    words were corrected since, or whose recording was forgotten, there is no second and no link."""

    number: int
    state: State
    recording: str | None = None
    title: str | None = None
    speaker: str | None = None
    quote: str | None = None
    start_seconds: float | None = None
    end_seconds: float | None = None
    timecode: str | None = None
    link: str | None = None
    chunk: str | None = None


@dataclass(frozen=True, slots=True)
class CitedSentence:
    """``text`` is None where it told of a recording that was forgotten; ``cites``: the numbers of
    its citations, at least one."""

    text: str | None
    cites: tuple[int, ...]


#: Hears a sentence that is proved, with its citations; or None: what it heard does not count, as
#: its writer broke off and begins anew.
SentenceCallback = Callable[[CitedSentence | None, tuple[Citation, ...]], None]


@dataclass(slots=True)
class CitationChecker:
    """An ``Audience``. ``spoken`` gives the transcript of a recording; ``link`` opens an excerpt's
    recording at a second."""

    inquiry: AnswerRequest
    spoken: Callable[[str], TimedText | None]
    link: Callable[[Excerpt, float], str]
    callback: SentenceCallback
    sentences: list[CitedSentence] = field(default_factory=list)
    citations: list[Citation] = field(default_factory=list)
    words: list[str] = field(default_factory=list)  # of each citation, as they stand
    left_out: int = 0

    def start_over(self) -> None:
        if self.sentences:
            self.callback(None, ())
        self.sentences, self.citations, self.words, self.left_out = [], [], [], 0

    def on_sentence(self, statement: DraftSentence) -> None:
        """See ``Audience``. A sentence that was written down already is not again."""
        text = sanitize(statement.text)
        proofs: list[Citation] = []
        if text and not self._invents(text, statement):
            proofs = [proof for one in statement.cited if (proof := self._find_citation(one))]
        if not proofs:
            self.left_out += 1
            return
        sentence = CitedSentence(text, tuple(dict.fromkeys(one.number for one in proofs)))
        if sentence not in self.sentences:
            self.sentences.append(sentence)
            self.callback(sentence, tuple(self.citations[n - 1] for n in sentence.cites))

    def _find_citation(self, cited: DraftCitation) -> Citation | None:
        """The citation, if its passage was retrieved and its quote stands there."""
        if not 1 <= cited.excerpt <= len(self.inquiry.excerpts):
            return None
        excerpt = self.inquiry.excerpts[cited.excerpt - 1]
        stands = find_quote(cited.quote, excerpt)
        if stands is None:
            return None
        start, end = quote_times(excerpt, stands, self.spoken(excerpt.recording))
        known = [
            one
            for one in self.citations
            if (one.recording, one.start_seconds, one.end_seconds)
            == (excerpt.recording, start, end)
        ]
        return known[0] if known else self._new(excerpt, excerpt.text[slice(*stands)], start, end)

    def _new(self, excerpt: Excerpt, quote: str, start: float, end: float) -> Citation:
        """Numbered as the next one."""
        made = Citation(
            number=len(self.citations) + 1,
            state="current",
            recording=excerpt.recording,
            title=sanitize(excerpt.title),
            speaker=sanitize(excerpt.speaker) if excerpt.speaker else None,
            quote=sanitize(quote),
            start_seconds=start,
            end_seconds=end,
            timecode=format_timecode(start),
            link=self.link(excerpt, start),
            chunk=excerpt.chunk,
        )
        self.citations.append(made)
        self.words.append(quote)
        return made

    def _invents(self, text: str, statement: DraftSentence) -> bool:
        """Whether it tells a number that neither the question nor what it cites has."""
        told = [self.inquiry.question]
        for one in statement.cited:
            if 1 <= one.excerpt <= len(self.inquiry.excerpts):
                excerpt = self.inquiry.excerpts[one.excerpt - 1]
                told += [excerpt.text, excerpt.title]
        return not numbers_in([text]) <= numbers_in(told)

"""Check the sentences of an answer against their sources while they are written.

A sentence is accepted if a quote that it cites occurs in a retrieved chunk and it contains no
invented number. All other sentences are left out and counted.
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

#: Whether the words of a citation are still in the transcript; "forgotten" if the recording was
#: deleted.
State = Literal["current", "corrected", "forgotten"]


@dataclass(frozen=True, slots=True)
class Citation:
    """A citation: ``quote`` was spoken from ``start_seconds`` on; ``link`` opens the media there.

    Times and link are None if the words were corrected since, or the recording was deleted.
    """

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
    """A sentence of an answer with the numbers of its citations, at least one.

    ``text`` is None if it was based on a recording that was deleted.
    """

    text: str | None
    cites: tuple[int, ...]


#: Called with each checked sentence and its citations, or with None if the answerer starts over:
#: the sentences so far no longer count.
SentenceCallback = Callable[[CitedSentence | None, tuple[Citation, ...]], None]


@dataclass(slots=True)
class CitationChecker:
    """An ``AnswerSink`` that accepts only sentences whose citations are proved.

    ``transcript_of`` returns the transcript of a recording; ``link`` returns a link to an excerpt's
    recording at a second.
    """

    request: AnswerRequest
    transcript_of: Callable[[str], TimedText | None]
    link: Callable[[Excerpt, float], str]
    callback: SentenceCallback
    sentences: list[CitedSentence] = field(default_factory=list)
    citations: list[Citation] = field(default_factory=list)
    words: list[str] = field(default_factory=list)  # of each citation, as in the transcript
    left_out: int = 0

    def start_over(self) -> None:
        if self.sentences:
            self.callback(None, ())
        self.sentences, self.citations, self.words, self.left_out = [], [], [], 0

    def on_sentence(self, draft: DraftSentence) -> None:
        """Check a sentence and store it if it is proved and new.

        See ``AnswerSink``.
        """
        text = sanitize(draft.text)
        proofs: list[Citation] = []
        if text and not self._invents(text, draft):
            proofs = [proof for draft in draft.cited if (proof := self._find_citation(draft))]
        if not proofs:
            self.left_out += 1
            return
        sentence = CitedSentence(text, tuple(dict.fromkeys(proof.number for proof in proofs)))
        if sentence not in self.sentences:
            self.sentences.append(sentence)
            self.callback(sentence, tuple(self.citations[n - 1] for n in sentence.cites))

    def _find_citation(self, cited: DraftCitation) -> Citation | None:
        """Return the citation if its quote occurs in a retrieved chunk, or None."""
        if not 1 <= cited.excerpt <= len(self.request.excerpts):
            return None
        excerpt = self.request.excerpts[cited.excerpt - 1]
        quote_range = find_quote(cited.quote, excerpt)
        if quote_range is None:
            return None
        start, end = quote_times(excerpt, quote_range, self.transcript_of(excerpt.recording))
        existing = [
            citation
            for citation in self.citations
            if (citation.recording, citation.start_seconds, citation.end_seconds)
            == (excerpt.recording, start, end)
        ]
        return (
            existing[0]
            if existing
            else self._new(excerpt, excerpt.text[slice(*quote_range)], start, end)
        )

    def _new(self, excerpt: Excerpt, quote: str, start: float, end: float) -> Citation:
        """Create a citation with the next number."""
        citation = Citation(
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
        self.citations.append(citation)
        self.words.append(quote)
        return citation

    def _invents(self, text: str, statement: DraftSentence) -> bool:
        """Return whether the text has a number found in neither question nor sources."""
        sources = [self.request.question]
        for draft in statement.cited:
            if 1 <= draft.excerpt <= len(self.request.excerpts):
                excerpt = self.request.excerpts[draft.excerpt - 1]
                sources += [excerpt.text, excerpt.title]
        return not numbers_in([text]) <= numbers_in(sources)

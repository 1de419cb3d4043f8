"""Terms, key phrases, representative sentences and topic changes of a recording.

Everything is computed by counting, without a model; the same input gives the same result. A
sentence is a bag of terms weighted by tf-idf over the recording's sentences, as a vector of length
1. Sentences are ranked by their cosine to the centroid of all of them (centroid-based
summarisation: Radev, Jing, Styś and Tam 2004, Information Processing & Management 40:919).
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence, Set
from typing import TYPE_CHECKING

from playhead.core.sentences import UNSPACED
from playhead.engines.writing.timed_sentences import SpokenSentence, spoken_seconds

if TYPE_CHECKING:
    from yake import KeywordExtractor

Vector = dict[str, float]

_SECTION_SECONDS = 300.0

#: YAKE returned longer runs of text without punctuation as one word.
_MAX_PHRASE_CHARACTERS = 60
_FULL_LENGTH = 8  # terms; a shorter sentence ranks lower in proportion
_SAME_COSINE = 0.7  # cosine of two sentences that say the same
_MAX_PAUSE_SECONDS = 3.0  # seconds; longer ones say no more about a change of subject
_CONTEXT = 6  # sentences compared on each side of a possible change of subject

_TERM = re.compile(r"\w(?:\S*\w)?")
# Scripts without spaces are split into pairs of characters, the usual way to index them.
_UNSPACED = re.compile(f"[{UNSPACED}]")
_YAKE_LANGUAGES = {"cs": "cz"}  # where its file names differ from ISO 639-1


def phrase_extractor(language: str) -> KeywordExtractor:
    """Return YAKE with its stop words for a language (ISO 639-1), if it has any."""
    from yake import KeywordExtractor  # imported here: it takes most of a second

    code = _YAKE_LANGUAGES.get(language, language)
    return KeywordExtractor(lan=code, n=3, top=40, dedup_lim=0.7)


def key_phrases(
    extractor: KeywordExtractor, sentences: Sequence[SpokenSentence]
) -> list[tuple[str, SpokenSentence]]:
    """Return the key phrases, best first, each with the first sentence that contains it.

    No phrase is a part of another. The list is empty for scripts without spaces, which YAKE cannot
    split into words.
    """
    folded = [sentence.text.casefold() for sentence in sentences]
    phrases = []
    selected: list[set[str]] = []
    for phrase, _ in extractor.extract_keywords(" ".join(sentence.text for sentence in sentences)):
        words = set(phrase.casefold().split())
        redundant = any(words <= other or other <= words for other in selected)
        if redundant or len(phrase) > _MAX_PHRASE_CHARACTERS or _UNSPACED.search(phrase):
            continue
        index = next((i for i, text in enumerate(folded) if phrase.casefold() in text), None)
        if index is not None:
            selected.append(words)
            phrases.append((phrase, sentences[index]))
    return phrases


def term_vectors(sentences: Sequence[SpokenSentence], stop_words: Set[str]) -> list[Vector]:
    """Return a vector of length 1 per sentence; it is empty if the sentence has no terms."""
    counts = [Counter(_terms(sentence.text, stop_words)) for sentence in sentences]
    document_frequency = Counter(term for count in counts for term in count)
    rarity = {term: math.log(1 + len(sentences) / n) for term, n in document_frequency.items()}
    return [_unit({term: n * rarity[term] for term, n in count.items()}) for count in counts]


def representative_sentences(
    vectors: Sequence[Vector], positions: Sequence[int], count: int
) -> list[int]:
    """Return the positions of the sentences that represent those at ``positions`` best.

    There are at most ``count``, in order, and no two of them say the same.
    """
    centroid = _unit(_sum(vectors[i] for i in positions))
    scores = {
        i: _cosine(vectors[i], centroid) * min(1.0, len(vectors[i]) / _FULL_LENGTH)
        for i in positions
    }
    chosen: list[int] = []
    for i in sorted(positions, key=lambda i: (-scores[i], i)):
        if len(chosen) == count:
            break
        if all(_cosine(vectors[i], vectors[j]) < _SAME_COSINE for j in chosen):
            chosen.append(i)
    return sorted(chosen)


def split_by_topic(sentences: Sequence[SpokenSentence], vectors: Sequence[Vector]) -> list[range]:
    """Split the positions of sentences into ranges of about five minutes.

    Each split is near a multiple of five minutes, where the pause is longest and the vocabulary
    changes most.
    """
    start, end = spoken_seconds(sentences)
    count = max(1, round((end - start) / _SECTION_SECONDS))
    length = (end - start) / count
    cuts = [0]
    for number in range(1, count):
        ideal = start + number * length
        nearby = [
            i
            for i in range(cuts[-1] + 1, len(sentences))
            if abs(sentences[i].start - ideal) <= length / 3
        ]
        if nearby:
            cuts.append(max(nearby, key=lambda i: (_topic_change(sentences, vectors, i), -i)))
    return [range(a, b) for a, b in zip(cuts, [*cuts[1:], len(sentences)], strict=True)]


def _topic_change(sentences: Sequence[SpokenSentence], vectors: Sequence[Vector], i: int) -> float:
    """Return the score of a topic change before sentence ``i``, between 0 and 2."""
    pause = sentences[i].start - sentences[i - 1].end
    before, after = _sum(vectors[max(0, i - _CONTEXT) : i]), _sum(vectors[i : i + _CONTEXT])
    return (
        min(max(pause, 0.0), _MAX_PAUSE_SECONDS) / _MAX_PAUSE_SECONDS
        + 1
        - _cosine(_unit(before), _unit(after))
    )


def _terms(text: str, stop_words: Set[str]) -> Iterator[str]:
    for word in _TERM.findall(text.casefold()):
        if _UNSPACED.search(word):
            yield from (word[i : i + 2] for i in range(max(1, len(word) - 1)))
        elif word not in stop_words:
            yield word


def _sum(vectors: Iterable[Vector]) -> Vector:
    total: Vector = {}
    for vector in vectors:
        for term, weight in vector.items():
            total[term] = total.get(term, 0.0) + weight
    return total


def _unit(vector: Vector) -> Vector:
    length = math.sqrt(math.fsum(weight * weight for weight in vector.values()))
    return {term: weight / length for term, weight in vector.items()}


def _cosine(a: Vector, b: Vector) -> float:
    if len(b) < len(a):
        a, b = b, a
    return math.fsum(weight * b.get(term, 0.0) for term, weight in a.items())

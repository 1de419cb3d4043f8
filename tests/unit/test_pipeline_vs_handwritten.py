"""The pipeline comparison: all contenders get the same input, and its checks can fail."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest

from benchmarks.pipeline_vs_handwritten import transcripts
from benchmarks.pipeline_vs_handwritten.contender import Answer
from benchmarks.pipeline_vs_handwritten.embedder import DIMENSIONS, HashEmbedder
from benchmarks.pipeline_vs_handwritten.searcher import Answers, ask_once
from playhead.core.protocols.embedder import Embedder
from playhead.transcripts.word_positions import check_times

TEXTS = [f"passage {number}" for number in range(20)]
EMBEDDERS: Mapping[str, Embedder] = {name: HashEmbedder(name) for name in ("A", "B")}


def nearest(model: str, question: str) -> list[str]:
    query_vector, *vectors = EMBEDDERS[model].embed([question, *TEXTS])
    order = np.argsort(-(np.array(vectors) @ query_vector))
    return [TEXTS[index] for index in order[:10]]


def check_answer(answer: Answer | Exception) -> Answers:
    def ask(question: str, embedders: Mapping[str, Embedder]) -> Answer:
        if isinstance(answer, Exception):
            raise answer
        return answer

    answers = Answers()
    ask_once(answers, ask, TEXTS[3], EMBEDDERS)
    return answers


def test_transcript_is_the_same_for_the_same_number() -> None:
    assert transcripts.make_transcript(7) == transcripts.make_transcript(7)
    assert transcripts.make_transcript(7).text != transcripts.make_transcript(8).text


def test_transcript_has_valid_times() -> None:
    check_times(transcripts.make_transcript(7))
    check_times(transcripts.make_edited(7))


def test_edit_changes_one_word_and_no_time() -> None:
    before, after = transcripts.make_transcript(7), transcripts.make_edited(7)
    pairs = list(zip(before.words, after.words, strict=True))
    assert [(word.start, word.end) for word, _ in pairs] == [
        (word.start, word.end) for _, word in pairs
    ]
    assert sum(word.word != other.word for word, other in pairs) == 1
    assert after.text.split() == [word.word for word in after.words]
    assert after.text == " ".join(segment.text for segment in after.segments)


def test_one_transcript_in_a_hundred_is_edited() -> None:
    assert len(transcripts.edited_numbers(1000)) == 10


def test_vectors_are_normalized_and_depend_only_on_text_and_model() -> None:
    batch = HashEmbedder("A").embed(TEXTS)
    single = np.concatenate([HashEmbedder("A").embed([text]) for text in TEXTS])
    assert batch.shape == (len(TEXTS), DIMENSIONS)
    assert np.array_equal(batch, single)
    assert np.allclose(np.linalg.norm(batch, axis=1), 1)
    assert not np.array_equal(batch, HashEmbedder("B").embed(TEXTS))


@pytest.mark.parametrize("model", ["A", "B"])
def test_answer_of_one_model_is_valid(model: str) -> None:
    assert check_answer(Answer(model, nearest(model, TEXTS[3]))).bad == 0


def test_answer_by_the_other_models_vectors_is_mixed() -> None:
    assert check_answer(Answer("A", nearest("B", TEXTS[3]))).mixed == 1


def test_answer_with_chunks_of_both_models_is_mixed() -> None:
    both = [*nearest("A", TEXTS[3])[:5], *nearest("B", TEXTS[3])[1:6]]
    assert check_answer(Answer("A", both)).mixed == 1


def test_missing_answer_is_bad() -> None:
    assert check_answer(Answer("A", [])).empty == 1
    assert check_answer(RuntimeError("the table is gone")).failed == 1

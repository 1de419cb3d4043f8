"""What the engine room rests on: its inputs are the same for all, and its judge can fail."""

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
    asked, *vectors = EMBEDDERS[model].embed([question, *TEXTS])
    order = np.argsort(-(np.array(vectors) @ asked))
    return [TEXTS[place] for place in order[:10]]


def judged(answer: Answer | Exception) -> Answers:
    def ask(question: str, embedders: Mapping[str, Embedder]) -> Answer:
        if isinstance(answer, Exception):
            raise answer
        return answer

    answers = Answers()
    ask_once(answers, ask, TEXTS[3], EMBEDDERS)
    return answers


def test_the_same_number_gives_the_same_transcript() -> None:
    assert transcripts.transcript(7) == transcripts.transcript(7)
    assert transcripts.transcript(7).text != transcripts.transcript(8).text


def test_a_transcript_keeps_the_promises_of_transcripts() -> None:
    check_times(transcripts.transcript(7))
    check_times(transcripts.edited(7))


def test_an_edit_changes_one_word_and_no_time() -> None:
    before, after = transcripts.transcript(7), transcripts.edited(7)
    pairs = list(zip(before.words, after.words, strict=True))
    assert [(one.start, one.end) for one, _ in pairs] == [(one.start, one.end) for _, one in pairs]
    assert sum(one.word != other.word for one, other in pairs) == 1
    assert after.text.split() == [word.word for word in after.words]
    assert after.text == " ".join(segment.text for segment in after.segments)


def test_one_transcript_in_a_hundred_is_edited() -> None:
    assert len(transcripts.to_edit(1000)) == 10


def test_vectors_have_length_one_and_depend_on_text_and_model_alone() -> None:
    together = HashEmbedder("A").embed(TEXTS)
    alone = np.concatenate([HashEmbedder("A").embed([text]) for text in TEXTS])
    assert together.shape == (len(TEXTS), DIMENSIONS)
    assert np.array_equal(together, alone)
    assert np.allclose(np.linalg.norm(together, axis=1), 1)
    assert not np.array_equal(together, HashEmbedder("B").embed(TEXTS))


@pytest.mark.parametrize("model", ["A", "B"])
def test_an_answer_of_one_model_is_whole(model: str) -> None:
    assert judged(Answer(model, nearest(model, TEXTS[3]))).bad == 0


def test_an_answer_by_the_other_models_vectors_is_mixed() -> None:
    assert judged(Answer("A", nearest("B", TEXTS[3]))).mixed == 1


def test_an_answer_with_passages_of_both_models_is_mixed() -> None:
    both = [*nearest("A", TEXTS[3])[:5], *nearest("B", TEXTS[3])[1:6]]
    assert judged(Answer("A", both)).mixed == 1


def test_no_answer_is_bad_too() -> None:
    assert judged(Answer("A", [])).empty == 1
    assert judged(RuntimeError("the table is gone")).failed == 1

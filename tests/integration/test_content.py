"""What the stages made comes back as it was, whatever is in it; damage is noticed and mended."""

from __future__ import annotations

import pytest

from playhead.core.records import Document, Recording, Segment, TimedSpan, Transcript, Word
from playhead.postgres.database import Database
from playhead.postgres.pipeline.recordings import Recordings
from playhead.transcripts.word_positions import TimedText
from tests.support import factories
from tests.support.factories import PipelineDriver, timeline_spans

ODD_TEXTS = [
    "👩‍👩‍👧‍👦 a family, 🇫🇷 a flag, 👍🏽 a tone",
    "שלום עולם ‏مرحبا‎ mixed with Latin",
    "e\u0301 is not \u00e9, and a\u0300\u0301\u0302 has three",
    "tab\there, line\nthere, carriage\r, back\\slash, \\N, \\., 'quotes', \"double\", %s",
    "漢字かな交じり文。\u3000全角の空白",
    "\u200b\ufeff invisible \u2028 and \u0085 breaks",
    "𝔘𝔫𝔦𝔠𝔬𝔡𝔢 beyond the first plane, \U0010ffff",
    " leading and trailing ",
]


def heard(text: str) -> Transcript:
    return Transcript(
        text, "en", 1.25, (Word(text, 0.1, 1.2),), (Segment(text, 0.1, 1.2), Segment(text, 1, 1))
    )


def keep_transcript(
    worker: PipelineDriver, recording: Recording, transcript: Transcript
) -> Transcript:
    recipe = factories.make_recipe("transcript")
    with (
        worker.claim(recording, recipe, {"text": ascii(transcript.text)}) as claim,
        worker.results.finish(claim, output_hash="heard") as write,
    ):
        worker.content.put_transcript(*write, recording, transcript)
    return worker.content.transcript(recording, claim.id)


def keep_document(worker: PipelineDriver, recording: Recording, document: Document) -> Document:
    recipe = factories.make_recipe("document")
    with (
        worker.claim(recording, recipe, {"content": ascii(document.content)}) as claim,
        worker.results.finish(claim, output_hash="written") as write,
    ):
        worker.content.put_document(*write, recording, document)
    return worker.content.document(recording, claim.id)


def test_a_transcript_comes_back_as_it_was(worker: PipelineDriver, recording: Recording) -> None:
    for text in ["", *ODD_TEXTS]:
        assert keep_transcript(worker, recording, heard(text)) == heard(text)


def test_passages_are_cut_by_the_same_times_whether_they_were_kept_packed_or_not(
    worker: PipelineDriver, recording: Recording, database: Database
) -> None:
    segments = (Segment("One two.", 0, 0.7, "Ann"), Segment(" Three.", 0.7, 1.1, "B\x00b"))
    words = (Word("One", 0.1, 1 / 3), Word(" two.", 1 / 3, 0.7), Word(" Three.", 0.7, 1))
    transcript = Transcript("One two. Three.", "en", 1.25, words, segments)
    for text in ["", *ODD_TEXTS]:
        keep_transcript(worker, recording, heard(text))
    keep_transcript(worker, recording, transcript)
    ids = [
        row["result_id"] for row in database.rows(b"select result_id from transcripts order by 1")
    ]
    packed = [told(worker.content.timed_text(recording, result_id)) for result_id in ids]
    database.run(b"update transcripts set timeline = null, speakers = null, breaks = null")
    assert [told(worker.content.timed_text(recording, result_id)) for result_id in ids] == packed
    assert packed[-1][1:] == (
        [0, 9],
        (
            TimedSpan(0, 3, 0.1, 1 / 3, "Ann"),
            TimedSpan(4, 8, 1 / 3, 0.7, "Ann"),
            TimedSpan(9, 15, 0.7, 1, "B\ufffdb"),
        ),
    )


def told(spoken: TimedText) -> tuple[tuple[str, str, float], list[int], tuple[TimedSpan, ...]]:
    said = (spoken.text, spoken.language, spoken.duration_seconds)
    return said, list(spoken.breaks), timeline_spans(spoken.timeline)


def test_a_document_comes_back_as_it_was(worker: PipelineDriver, recording: Recording) -> None:
    for text in ODD_TEXTS:
        spans = (TimedSpan(0, len(text), 0.0, 1.5, text), TimedSpan(1, 2, 0.1, 0.2))
        metadata = {"sections": [{"heading": text, "at": None}], text: [1, 2.5, True, None]}
        document = Document(text, text, "markdown", spans, metadata)
        assert keep_document(worker, recording, document) == document


def test_passages_come_back_as_they_were(worker: PipelineDriver, recording: Recording) -> None:
    worker.chunk(recording, factories.make_chunks(*ODD_TEXTS))
    rows = worker.content.chunks(recording, factories.CHUNK_RECIPE.hash)
    assert [row["text"] for row in rows] == ODD_TEXTS


def test_what_probing_found_comes_back_as_it_was(
    worker: PipelineDriver, recording: Recording
) -> None:
    worker.probe(recording)
    result = worker.current(recording, "raw_media")
    assert result is not None
    assert worker.content.media_facts(recording, result.id) == factories.make_media_facts()


def test_a_character_that_postgres_cannot_hold_becomes_the_replacement_character_in_its_place(
    worker: PipelineDriver, recording: Recording
) -> None:
    """So that one odd byte of an engine's reply neither fails a recording nor moves a place."""
    for bad in ("\x00", "\ud800", "\udfff"):
        kept = keep_transcript(worker, recording, heard(f"before {bad} after"))
        assert kept == heard("before \ufffd after")
        spans = (TimedSpan(0, 3, 0.0, 1.0, bad),)
        metadata = {"sections": [{"heading": bad}]}
        written = keep_document(
            worker, recording, Document(bad, f"# {bad}", "markdown", spans, metadata)
        )
        assert (written.title, written.content) == ("\ufffd", "# \ufffd")
        assert written.spans[0].speaker == "\ufffd"
        assert written.metadata == {"sections": [{"heading": "\ufffd"}]}


# Damage


@pytest.mark.parametrize("table", [b"raw_media", b"transcripts", b"documents", b"embeddings"])
def test_a_result_whose_content_is_gone_is_taken_back_and_waits_again(
    worker: PipelineDriver, recording: Recording, database: Database, table: bytes
) -> None:
    worker.run_all_stages(recording)
    assert worker.content.invalidate_incomplete() == 0
    database.run(b"delete from " + table)
    assert worker.content.invalidate_incomplete() == 1
    assert Recordings(database).pending(limit=9) == [recording]
    worker.run_all_stages(recording)
    assert Recordings(database).pending(limit=9) == []
    assert worker.content.invalidate_incomplete() == 0

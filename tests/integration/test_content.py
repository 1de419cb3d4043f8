"""Stored content is read back unchanged, whatever its text; lost content is detected."""

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


def make_transcript(text: str) -> Transcript:
    return Transcript(
        text, "en", 1.25, (Word(text, 0.1, 1.2),), (Segment(text, 0.1, 1.2), Segment(text, 1, 1))
    )


def store_transcript(
    worker: PipelineDriver, recording: Recording, transcript: Transcript
) -> Transcript:
    recipe = factories.make_recipe("transcript")
    with (
        worker.claim(recording, recipe, {"text": ascii(transcript.text)}) as claim,
        worker.results.finish(claim, output_hash="heard") as write,
    ):
        worker.content.put_transcript(*write, recording, transcript)
    return worker.content.transcript(recording, claim.id)


def store_document(worker: PipelineDriver, recording: Recording, document: Document) -> Document:
    recipe = factories.make_recipe("document")
    with (
        worker.claim(recording, recipe, {"content": ascii(document.content)}) as claim,
        worker.results.finish(claim, output_hash="written") as write,
    ):
        worker.content.put_document(*write, recording, document)
    return worker.content.document(recording, claim.id)


def test_transcript_is_read_as_stored(worker: PipelineDriver, recording: Recording) -> None:
    for text in ["", *ODD_TEXTS]:
        assert store_transcript(worker, recording, make_transcript(text)) == make_transcript(text)


def test_timed_text_is_equal_with_and_without_packed_timeline(
    worker: PipelineDriver, recording: Recording, database: Database
) -> None:
    segments = (Segment("One two.", 0, 0.7, "Ann"), Segment(" Three.", 0.7, 1.1, "B\x00b"))
    words = (Word("One", 0.1, 1 / 3), Word(" two.", 1 / 3, 0.7), Word(" Three.", 0.7, 1))
    transcript = Transcript("One two. Three.", "en", 1.25, words, segments)
    for text in ["", *ODD_TEXTS]:
        store_transcript(worker, recording, make_transcript(text))
    store_transcript(worker, recording, transcript)
    ids = [
        row["result_id"] for row in database.rows(b"select result_id from transcripts order by 1")
    ]
    packed = [describe(worker.content.timed_text(recording, result_id)) for result_id in ids]
    database.run(b"update transcripts set timeline = null, speakers = null, breaks = null")
    assert [
        describe(worker.content.timed_text(recording, result_id)) for result_id in ids
    ] == packed
    assert packed[-1][1:] == (
        [0, 9],
        (
            TimedSpan(0, 3, 0.1, 1 / 3, "Ann"),
            TimedSpan(4, 8, 1 / 3, 0.7, "Ann"),
            TimedSpan(9, 15, 0.7, 1, "B\ufffdb"),
        ),
    )


def describe(timed: TimedText) -> tuple[tuple[str, str, float], list[int], tuple[TimedSpan, ...]]:
    header = (timed.text, timed.language, timed.duration_seconds)
    return header, list(timed.breaks), timeline_spans(timed.timeline)


def test_document_is_read_as_stored(worker: PipelineDriver, recording: Recording) -> None:
    for text in ODD_TEXTS:
        spans = (TimedSpan(0, len(text), 0.0, 1.5, text), TimedSpan(1, 2, 0.1, 0.2))
        metadata = {"sections": [{"heading": text, "at": None}], text: [1, 2.5, True, None]}
        document = Document(text, text, "markdown", spans, metadata)
        assert store_document(worker, recording, document) == document


def test_chunks_are_read_as_stored(worker: PipelineDriver, recording: Recording) -> None:
    worker.chunk(recording, factories.make_chunks(*ODD_TEXTS))
    rows = worker.content.chunks(recording, factories.CHUNK_RECIPE.hash)
    assert [row["text"] for row in rows] == ODD_TEXTS


def test_media_facts_are_read_as_stored(worker: PipelineDriver, recording: Recording) -> None:
    worker.probe(recording)
    result = worker.current(recording, "raw_media")
    assert result is not None
    assert worker.content.media_facts(recording, result.id) == factories.make_media_facts()


def test_unstorable_characters_become_replacement_characters(
    worker: PipelineDriver, recording: Recording
) -> None:
    """Check that odd bytes of an engine neither fail a recording nor move positions."""
    for bad in ("\x00", "\ud800", "\udfff"):
        stored = store_transcript(worker, recording, make_transcript(f"before {bad} after"))
        assert stored == make_transcript("before \ufffd after")
        spans = (TimedSpan(0, 3, 0.0, 1.0, bad),)
        metadata = {"sections": [{"heading": bad}]}
        written = store_document(
            worker, recording, Document(bad, f"# {bad}", "markdown", spans, metadata)
        )
        assert (written.title, written.content) == ("\ufffd", "# \ufffd")
        assert written.spans[0].speaker == "\ufffd"
        assert written.metadata == {"sections": [{"heading": "\ufffd"}]}


# Damage


@pytest.mark.parametrize("table", [b"raw_media", b"transcripts", b"documents", b"embeddings"])
def test_result_with_lost_content_is_invalidated_and_pending_again(
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

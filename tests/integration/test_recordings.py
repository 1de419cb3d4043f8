"""The recordings table: status, pending recordings, retries and registration."""

from __future__ import annotations

import random
import time

import pytest

from playhead.core.errors import NotFound, UnreadableMedia
from playhead.core.records import Recording, Stage
from playhead.postgres.database import Database
from playhead.postgres.pipeline.recordings import Recordings, Status, new_recording_id
from tests.support import factories
from tests.support.factories import CHUNK_RECIPE, PipelineDriver, get_status

DAMAGED = UnreadableMedia("Nothing can be decoded.", remedy="Export it again.")


def fail(worker: PipelineDriver, recording: Recording) -> None:
    with worker.claim(recording, factories.make_recipe("raw_media"), {}) as claim:
        worker.results.fail(claim, DAMAGED, final=True)


def age_requests(database: Database, seconds: float) -> None:
    """Move the times of run requests into the past."""
    statement = b"update recordings set requested_at = requested_at - %(s)s * interval '1 second'"
    database.run(statement, s=seconds)


# Status


def test_status_names_every_stage_and_percent_never_falls(
    recordings: Recordings, worker: PipelineDriver, recording: Recording
) -> None:
    seen: list[Status] = [get_status(recordings, recording)]

    def record_status() -> None:
        seen.append(get_status(recordings, recording))

    def claim_and_report(stage: Stage) -> None:
        """Claim the stage for another recipe and report progress, like a worker that dies."""
        with worker.claim(recording, factories.make_recipe(stage, "watched"), {}) as claim:
            record_status()
            for percent in (0, 50, 99):
                worker.results.progress([claim], percent, f"{stage} {percent}")
                record_status()

    claim_and_report("raw_media")
    worker.probe(recording)
    record_status()
    claim_and_report("transcript")
    worker.transcribe(recording)
    record_status()
    claim_and_report("document")
    worker.write(recording)
    record_status()
    claim_and_report("chunks")
    worker.chunk(recording, factories.make_chunks("one"))
    record_status()
    claim_and_report("embeddings")
    worker.embed(recording)
    record_status()
    words = list(dict.fromkeys(status.status for status in seen))
    assert words == [
        "uploaded",
        "transcribing",
        "transcribed",
        "writing",
        "chunking",
        "embedding",
        "ready",
    ]
    percents = [status.percent for status in seen]
    assert percents == sorted(percents)
    assert (percents[0], percents[-1]) == (0, 100)
    assert all(percent < 100 for percent in percents[:-1])
    assert [status.detail for status in seen if status.status == "transcribing"] == [
        "working",
        "transcript 0",
        "transcript 50",
        "transcript 99",
    ]


def test_status_has_duration_and_language_once_known(
    recordings: Recordings, worker: PipelineDriver, recording: Recording
) -> None:
    unknown = get_status(recordings, recording)
    assert (unknown.duration_seconds, unknown.language) == (None, None)
    worker.probe(recording)
    worker.transcribe(recording, factories.make_transcript("uno dos", language="es"))
    known = get_status(recordings, recording)
    assert (known.duration_seconds, known.language) == (10.0, "es")


def test_failed_recording_has_stage_reason_and_remedy(
    recordings: Recordings, worker: PipelineDriver, recording: Recording
) -> None:
    fail(worker, recording)
    status = get_status(recordings, recording)
    assert (status.status, status.detail) == ("failed", "failed at raw_media")
    assert status.error == {
        "stage": "raw_media",
        "class": "UnreadableMedia",
        "message": "Nothing can be decoded.",
        "remedy": "Export it again.",
        "attempts": 1,
    }


def test_status_falls_back_when_later_stages_are_outdated(
    recordings: Recordings, worker: PipelineDriver, recording: Recording
) -> None:
    worker.run_all_stages(recording)
    worker.transcribe(recording, factories.make_transcript("other words"), version="2")
    assert get_status(recordings, recording).status == "transcribed"
    worker.write(recording)
    assert get_status(recordings, recording).status == "chunking"


def test_chunks_of_another_document_do_not_make_a_recording_ready(
    recordings: Recordings, worker: PipelineDriver, recording: Recording
) -> None:
    worker.run_all_stages(recording)
    inputs = {"transcript": worker.output(recording, "transcript")}
    with (
        worker.claim(recording, factories.make_recipe("document", "2"), inputs) as claim,
        worker.results.finish(claim, output_hash="other") as write,
    ):
        worker.content.put_document(*write, recording, factories.make_document())
    assert get_status(recordings, recording).status == "chunking"


def test_unknown_recording_id_is_reported_with_a_remedy(
    recordings: Recordings, recording: Recording
) -> None:
    for unknown in (new_recording_id(), "talk.mp3", "", "'; drop table"):
        with pytest.raises(NotFound, match="No such recording") as raised:
            recordings.statuses("default", [recording.id, unknown])
        assert unknown in str(raised.value)
        assert recording.id not in str(raised.value)
        assert "playhead list" in raised.value.remedy


def test_recording_id_is_case_insensitive(recordings: Recordings, recording: Recording) -> None:
    (status,) = recordings.statuses("default", [recording.id.upper()])
    assert status.id == recording.id


def test_recordings_of_another_organisation_are_neither_listed_nor_retried(
    recordings: Recordings, worker: PipelineDriver, recording: Recording, database: Database
) -> None:
    other = factories.add_recording(database, org_id="other")
    fail(worker, recording)
    assert [status.id for status in recordings.statuses("other")] == [other.id]
    with pytest.raises(NotFound):
        recordings.statuses("other", [recording.id])
    assert recordings.requeue("other", [recording.id]) == []
    assert get_status(recordings, recording).status == "failed"
    with worker.claim(other, factories.make_recipe("raw_media"), {}):
        assert recordings.under_way("default") == []


# Waiting


def test_ready_failed_and_claimed_recordings_are_not_pending(
    recordings: Recordings, worker: PipelineDriver, database: Database
) -> None:
    ready, failed, claimed, unclaimed = [factories.add_recording(database) for _ in range(4)]
    worker.run_all_stages(ready)
    fail(worker, failed)
    with worker.claim(claimed, factories.make_recipe("raw_media"), {}):
        assert recordings.pending(limit=9) == [unclaimed]
    assert recordings.pending(limit=9) == [claimed, unclaimed]


def test_pending_recordings_are_sorted_by_priority_and_age(
    recordings: Recordings, database: Database
) -> None:
    first, second, urgent = [factories.add_recording(database) for _ in range(3)]
    database.run(b"update recordings set priority = 1 where id = %(id)s", id=urgent.id)
    assert recordings.pending(limit=2) == [urgent, first]
    assert recordings.pending(limit=9) == [urgent, first, second]


def test_pending_recordings_can_be_limited_and_excluded(
    recordings: Recordings, database: Database
) -> None:
    first, second, third = [factories.add_recording(database) for _ in range(3)]
    assert recordings.pending(limit=9, only=[second.id, third.id]) == [second, third]
    assert recordings.pending(limit=9, exclude=[second.id]) == [first, third]
    assert recordings.pending(limit=9, only=[]) == []
    with pytest.raises(NotFound):
        recordings.pending(limit=9, only=["talk.mp3"])
    with pytest.raises(NotFound, match=r"talk\.mp3"):
        recordings.pending(limit=9, exclude=iter(["talk.mp3"]))


def test_run_requests_back_off_up_to_an_hour(
    recordings: Recordings, recording: Recording, database: Database
) -> None:
    def is_requestable() -> bool:
        return recordings.pending(limit=9, unrequested=True) == [recording]

    assert is_requestable()
    for pause in (60, 120, 240, 480, 960, 1920, 3600, 3600):
        recordings.mark_requested([recording.id])
        age_requests(database, pause - 5)
        assert not is_requestable()
        assert recordings.pending(limit=9) == [recording], "it waits all the same"
        age_requests(database, 10)
        assert is_requestable()


def test_finished_stage_ends_the_backoff(
    recordings: Recordings, worker: PipelineDriver, recording: Recording
) -> None:
    recordings.mark_requested([recording.id])
    worker.probe(recording)
    assert recordings.pending(limit=9, unrequested=True) == [recording]


def test_retry_ends_the_backoff(
    recordings: Recordings, worker: PipelineDriver, recording: Recording
) -> None:
    recordings.mark_requested([recording.id])
    fail(worker, recording)
    recordings.requeue("default", [recording.id])
    assert recordings.pending(limit=9, unrequested=True) == [recording]


def test_retry_of_a_recording_that_did_not_fail_changes_nothing(
    recordings: Recordings, worker: PipelineDriver, recording: Recording
) -> None:
    worker.run_all_stages(recording)
    assert recordings.requeue("default", [recording.id]) == []
    assert get_status(recordings, recording).status == "ready"


def test_backlog_counts_pending_recordings_per_stage(
    recordings: Recordings, worker: PipelineDriver, database: Database
) -> None:
    new, *_ = [factories.add_recording(database) for _ in range(2)]
    probed, chunked, ready, failed = [factories.add_recording(database) for _ in range(4)]
    for recording in (probed, chunked):
        worker.probe(recording)
    worker.transcribe(chunked)
    worker.write(chunked)
    worker.chunk(chunked, factories.make_chunks("one"), CHUNK_RECIPE)
    worker.run_all_stages(ready)
    fail(worker, failed)
    backlog = {entry.stage: entry for entry in recordings.backlog()}
    assert {stage: entry.recordings for stage, entry in backlog.items()} == {
        "raw_media": 2,
        "transcript": 1,
        "embeddings": 1,
    }
    (row,) = database.rows(b"select created_at from recordings where id = %(id)s", id=new.id)
    assert backlog["raw_media"].oldest == row["created_at"]


# Registering


def test_recording_ids_sort_by_age_and_are_unique() -> None:
    ids = []
    for _ in range(5):
        ids += [new_recording_id() for _ in range(100)]
        time.sleep(0.002)
    assert len(set(ids)) == 500
    batches = [set(sorted(ids)[at : at + 100]) for at in range(0, 500, 100)]
    assert batches == [set(ids[at : at + 100]) for at in range(0, 500, 100)]


def test_recordings_are_returned_by_age_without_unknown_ids(
    recordings: Recordings, database: Database
) -> None:
    added = [factories.add_recording(database, language="fr", kind="book") for _ in range(3)]
    shuffled = random.Random(1).sample(added, 3)
    requested = [*(recording.id for recording in shuffled), new_recording_id()]
    assert recordings.get_many(requested) == sorted(added, key=lambda recording: recording.id)


def test_recording_added_twice_is_stored_once(recordings: Recordings, recording: Recording) -> None:
    again = factories.make_recording(sha256=recording.sha256, title="Another name")
    assert recordings.add(again) == recording
    assert recordings.with_bytes("default", recording.sha256) == recording
    assert recordings.with_bytes("other", recording.sha256) is None


def test_old_recording_is_overdue_unless_just_requested(
    database: Database, recordings: Recordings
) -> None:
    new, old, requested = (factories.add_recording(database) for _ in range(3))
    database.run(
        b"update recordings set created_at = now() - interval '1 hour' where id <> %(id)s",
        id=new.id,
    )
    recordings.mark_requested([requested.id])
    assert recordings.overdue([new.id, old.id, requested.id], 60) == {old.id}

"""How a recording is doing is true at all times; what waits is exactly what can be worked on."""

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


def time_passes(database: Database, seconds: float) -> None:
    """Since runs were last asked for."""
    later = b"update recordings set requested_at = requested_at - %(s)s * interval '1 second'"
    database.run(later, s=seconds)


# Status


def test_every_stage_has_its_word_and_the_percent_never_falls_on_the_way(
    recordings: Recordings, worker: PipelineDriver, recording: Recording
) -> None:
    seen: list[Status] = [get_status(recordings, recording)]

    def look() -> None:
        seen.append(get_status(recordings, recording))

    def watched(stage: Stage) -> None:
        """Another recipe's claim of the stage, held and left, as a worker that dies."""
        with worker.claim(recording, factories.make_recipe(stage, "watched"), {}) as claim:
            look()
            for percent in (0, 50, 99):
                worker.results.progress([claim], percent, f"{stage} {percent}")
                look()

    watched("raw_media")
    worker.probe(recording)
    look()
    watched("transcript")
    worker.transcribe(recording)
    look()
    watched("document")
    worker.write(recording)
    look()
    watched("chunks")
    worker.chunk(recording, factories.make_chunks("one"))
    look()
    watched("embeddings")
    worker.embed(recording)
    look()
    words = list(dict.fromkeys(shown.status for shown in seen))
    assert words == [
        "uploaded",
        "transcribing",
        "transcribed",
        "writing",
        "chunking",
        "embedding",
        "ready",
    ]
    percents = [shown.percent for shown in seen]
    assert percents == sorted(percents)
    assert (percents[0], percents[-1]) == (0, 100)
    assert all(percent < 100 for percent in percents[:-1])
    assert [shown.detail for shown in seen if shown.status == "transcribing"] == [
        "working",
        "transcript 0",
        "transcript 50",
        "transcript 99",
    ]


def test_status_tells_length_and_language_once_they_are_known(
    recordings: Recordings, worker: PipelineDriver, recording: Recording
) -> None:
    unknown = get_status(recordings, recording)
    assert (unknown.duration_seconds, unknown.language) == (None, None)
    worker.probe(recording)
    worker.transcribe(recording, factories.make_transcript("uno dos", language="es"))
    known = get_status(recordings, recording)
    assert (known.duration_seconds, known.language) == (10.0, "es")


def test_a_failed_recording_says_where_why_and_what_to_do(
    recordings: Recordings, worker: PipelineDriver, recording: Recording
) -> None:
    fail(worker, recording)
    shown = get_status(recordings, recording)
    assert (shown.status, shown.detail) == ("failed", "failed at raw_media")
    assert shown.error == {
        "stage": "raw_media",
        "class": "UnreadableMedia",
        "message": "Nothing can be decoded.",
        "remedy": "Export it again.",
        "attempts": 1,
    }


def test_a_new_recipe_for_the_last_stages_lets_the_status_fall_back_to_them(
    recordings: Recordings, worker: PipelineDriver, recording: Recording
) -> None:
    worker.run_all_stages(recording)
    worker.transcribe(recording, factories.make_transcript("other words"), version="2")
    assert get_status(recordings, recording).status == "transcribed"
    worker.write(recording)
    assert get_status(recordings, recording).status == "chunking"


def test_passages_of_another_document_do_not_make_a_recording_ready(
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


def test_an_unknown_id_is_named_with_a_remedy(recordings: Recordings, recording: Recording) -> None:
    for unknown in (new_recording_id(), "talk.mp3", "", "'; drop table"):
        with pytest.raises(NotFound, match="No such recording") as raised:
            recordings.statuses("default", [recording.id, unknown])
        assert unknown in str(raised.value)
        assert recording.id not in str(raised.value)
        assert "playhead list" in raised.value.remedy


def test_an_id_may_be_typed_in_capitals(recordings: Recordings, recording: Recording) -> None:
    (shown,) = recordings.statuses("default", [recording.id.upper()])
    assert shown.id == recording.id


def test_an_organisation_neither_sees_nor_retries_the_recordings_of_another(
    recordings: Recordings, worker: PipelineDriver, recording: Recording, database: Database
) -> None:
    other = factories.add_recording(database, org_id="other")
    fail(worker, recording)
    assert [shown.id for shown in recordings.statuses("other")] == [other.id]
    with pytest.raises(NotFound):
        recordings.statuses("other", [recording.id])
    assert recordings.requeue("other", [recording.id]) == []
    assert get_status(recordings, recording).status == "failed"
    with worker.claim(other, factories.make_recipe("raw_media"), {}):
        assert recordings.under_way("default") == []


# Waiting


def test_what_is_ready_failed_or_in_hand_does_not_wait(
    recordings: Recordings, worker: PipelineDriver, database: Database
) -> None:
    ready, failed, held, fresh = [factories.add_recording(database) for _ in range(4)]
    worker.run_all_stages(ready)
    fail(worker, failed)
    with worker.claim(held, factories.make_recipe("raw_media"), {}):
        assert recordings.pending(limit=9) == [fresh]
    assert recordings.pending(limit=9) == [held, fresh]


def test_the_most_urgent_wait_first_and_then_the_oldest(
    recordings: Recordings, database: Database
) -> None:
    first, second, urgent = [factories.add_recording(database) for _ in range(3)]
    database.run(b"update recordings set priority = 1 where id = %(id)s", id=urgent.id)
    assert recordings.pending(limit=2) == [urgent, first]
    assert recordings.pending(limit=9) == [urgent, first, second]


def test_waiting_can_be_narrowed_to_some_and_to_others_than_some(
    recordings: Recordings, database: Database
) -> None:
    first, two, three = [factories.add_recording(database) for _ in range(3)]
    assert recordings.pending(limit=9, only=[two.id, three.id]) == [two, three]
    assert recordings.pending(limit=9, besides=[two.id]) == [first, three]
    assert recordings.pending(limit=9, only=[]) == []
    with pytest.raises(NotFound):
        recordings.pending(limit=9, only=["talk.mp3"])
    with pytest.raises(NotFound, match=r"talk\.mp3"):
        recordings.pending(limit=9, besides=iter(["talk.mp3"]))


def test_asking_for_a_run_backs_off_twice_as_long_each_time_up_to_an_hour(
    recordings: Recordings, recording: Recording, database: Database
) -> None:
    def asked_again() -> bool:
        return recordings.pending(limit=9, unrequested=True) == [recording]

    assert asked_again()
    for pause in (60, 120, 240, 480, 960, 1920, 3600, 3600):
        recordings.mark_requested([recording.id])
        time_passes(database, pause - 5)
        assert not asked_again()
        assert recordings.pending(limit=9) == [recording], "it waits all the same"
        time_passes(database, 10)
        assert asked_again()


def test_a_finished_stage_ends_the_pause(
    recordings: Recordings, worker: PipelineDriver, recording: Recording
) -> None:
    recordings.mark_requested([recording.id])
    worker.probe(recording)
    assert recordings.pending(limit=9, unrequested=True) == [recording]


def test_a_retry_ends_the_pause(
    recordings: Recordings, worker: PipelineDriver, recording: Recording
) -> None:
    recordings.mark_requested([recording.id])
    fail(worker, recording)
    recordings.requeue("default", [recording.id])
    assert recordings.pending(limit=9, unrequested=True) == [recording]


def test_retrying_what_did_not_fail_changes_nothing(
    recordings: Recordings, worker: PipelineDriver, recording: Recording
) -> None:
    worker.run_all_stages(recording)
    assert recordings.requeue("default", [recording.id]) == []
    assert get_status(recordings, recording).status == "ready"


def test_the_backlog_counts_what_waits_at_each_stage_and_since_when(
    recordings: Recordings, worker: PipelineDriver, database: Database
) -> None:
    new, *_ = [factories.add_recording(database) for _ in range(2)]
    probed, cut, ready, failed = [factories.add_recording(database) for _ in range(4)]
    for recording in (probed, cut):
        worker.probe(recording)
    worker.transcribe(cut)
    worker.write(cut)
    worker.chunk(cut, factories.make_chunks("one"), CHUNK_RECIPE)
    worker.run_all_stages(ready)
    fail(worker, failed)
    backlog = {waiting.stage: waiting for waiting in recordings.backlog()}
    assert {stage: waiting.recordings for stage, waiting in backlog.items()} == {
        "raw_media": 2,
        "transcript": 1,
        "embeddings": 1,
    }
    (row,) = database.rows(b"select created_at from recordings where id = %(id)s", id=new.id)
    assert backlog["raw_media"].oldest == row["created_at"]


# Registering


def test_ids_sort_by_age_and_never_meet() -> None:
    made = []
    for _ in range(5):
        made += [new_recording_id() for _ in range(100)]
        time.sleep(0.002)
    assert len(set(made)) == 500
    batches = [set(sorted(made)[at : at + 100]) for at in range(0, 500, 100)]
    assert batches == [set(made[at : at + 100]) for at in range(0, 500, 100)]


def test_recordings_are_given_back_whole_oldest_first_and_only_those_that_exist(
    recordings: Recordings, database: Database
) -> None:
    made = [factories.add_recording(database, language="fr", kind="book") for _ in range(3)]
    shuffled = random.Random(1).sample(made, 3)
    asked = [*(recording.id for recording in shuffled), new_recording_id()]
    assert recordings.get_many(asked) == sorted(made, key=lambda recording: recording.id)


def test_registering_the_same_bytes_returns_the_first_recording(
    recordings: Recordings, recording: Recording
) -> None:
    again = factories.make_recording(sha256=recording.sha256, title="Another name")
    assert recordings.add(again) == recording
    assert recordings.with_bytes("default", recording.sha256) == recording
    assert recordings.with_bytes("other", recording.sha256) is None


def test_what_came_long_ago_is_overdue_unless_it_was_just_asked_for(
    database: Database, recordings: Recordings
) -> None:
    new, old, asked = (factories.add_recording(database) for _ in range(3))
    database.run(
        b"update recordings set created_at = now() - interval '1 hour' where id <> %(id)s",
        id=new.id,
    )
    recordings.mark_requested([asked.id])
    assert recordings.overdue([new.id, old.id, asked.id], 60) == {old.id}

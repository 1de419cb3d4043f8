"""The archive: old recordings are kept and found, and nobody works on them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from playhead.core.errors import NotFound
from playhead.core.records import Recording
from playhead.postgres.database import Database
from playhead.postgres.pipeline.recordings import Recordings
from tests.integration.conftest import Pipeline
from tests.support import factories
from tests.support.factories import Worker

Add = Callable[[str], Recording]


def test_an_archived_recording_waits_no_longer(
    recordings: Recordings, recording: Recording
) -> None:
    assert recordings.archive("default", [recording.id]) == {recording.id: "A talk"}
    assert recordings.pending(limit=5) == []
    assert recordings.backlog() == []
    assert recordings.archive("default", [recording.id]) == {}, "it is already"
    assert recordings.unarchive("default", [recording.id]) == {recording.id: "A talk"}
    assert recordings.pending(limit=5) == [recording]


def test_only_what_is_older_goes_and_only_of_the_organisation(
    database: Database, recordings: Recordings
) -> None:
    ours, theirs = factories.registered(database), factories.registered(database, org_id="other")
    now = datetime.now(UTC)
    assert recordings.archive_before("default", now - timedelta(hours=1)) == {}
    assert set(recordings.archive_before("default", now + timedelta(hours=1))) == {ours.id}
    assert recordings.unarchived() == [theirs.id]


def test_the_archive_is_left_out_only_of_the_list(
    recordings: Recordings, worker: Worker, recording: Recording
) -> None:
    worker.take_through(recording)
    recordings.archive("default", [recording.id])
    assert recordings.statuses("default", archived=False) == []
    [status] = recordings.statuses("default")
    assert (status.status, status.archived) == ("ready", True)
    assert len(worker.ledger.lineage(recording)) == 5
    with pytest.raises(NotFound):
        recordings.archive("default", ["no-such-id"])


def test_a_retry_takes_a_failed_recording_out_of_the_archive(
    recordings: Recordings, worker: Worker, recording: Recording
) -> None:
    with worker.claim(recording, factories.recipe("raw_media"), {}) as claim:
        worker.ledger.fail(claim, NotFound("gone", remedy="none"), final=True)
    recordings.archive("default", [recording.id])
    recordings.requeue("default", [recording.id])
    assert recordings.pending(limit=5) == [recording]


def test_adding_the_same_bytes_again_brings_it_back(pipeline: Pipeline, add: Add) -> None:
    recording = add("a.wav")
    pipeline.services.pipeline.recordings.archive("default", [recording.id])
    assert add("a.wav") == recording
    assert pipeline.services.pipeline.recordings.unarchived() == [recording.id]


def test_the_nights_reconciling_follows_the_archive(pipeline: Pipeline, add: Add) -> None:
    old, new = add("a.wav"), add("b.wav")
    pipeline.run(old, new)
    recordings, instance = pipeline.services.pipeline.recordings, pipeline.instance
    reconcile = pipeline.definitions.resolve_job_def("reconcile_recordings")
    recordings.archive("default", [old.id])
    for _ in range(2):
        assert reconcile.execute_in_process(instance=instance).success
        assert list(instance.get_dynamic_partitions("recordings")) == [new.id]
    assert pipeline.services.files.media.has(old)
    recordings.unarchive("default", [old.id])
    assert reconcile.execute_in_process(instance=instance).success
    assert set(instance.get_dynamic_partitions("recordings")) == {old.id, new.id}
    assert pipeline.materialised("embeddings") == {old.id, new.id}

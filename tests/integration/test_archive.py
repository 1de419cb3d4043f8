"""The archive: old recordings are stored and searchable, but not processed."""

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
from tests.support.factories import PipelineDriver

Add = Callable[[str], Recording]


def test_archived_recording_is_not_pending(recordings: Recordings, recording: Recording) -> None:
    assert recordings.archive("default", [recording.id]) == {recording.id: "A talk"}
    assert recordings.pending(limit=5) == []
    assert recordings.backlog() == []
    assert recordings.archive("default", [recording.id]) == {}, "it is already"
    assert recordings.unarchive("default", [recording.id]) == {recording.id: "A talk"}
    assert recordings.pending(limit=5) == [recording]


def test_archive_by_age_is_limited_to_the_organisation(
    database: Database, recordings: Recordings
) -> None:
    own, foreign = (
        factories.add_recording(database),
        factories.add_recording(database, org_id="other"),
    )
    now = datetime.now(UTC)
    assert recordings.archive_before("default", now - timedelta(hours=1)) == {}
    assert set(recordings.archive_before("default", now + timedelta(hours=1))) == {own.id}
    assert recordings.unarchived_keys() == [foreign.partition_key]


def test_archived_recording_is_left_out_only_of_the_list(
    recordings: Recordings, worker: PipelineDriver, recording: Recording
) -> None:
    worker.run_all_stages(recording)
    recordings.archive("default", [recording.id])
    assert recordings.statuses("default", archived=False) == []
    [status] = recordings.statuses("default")
    assert (status.status, status.archived) == ("ready", True)
    assert len(worker.results.lineage(recording)) == 5
    with pytest.raises(NotFound):
        recordings.archive("default", ["no-such-id"])


def test_retry_unarchives_a_failed_recording(
    recordings: Recordings, worker: PipelineDriver, recording: Recording
) -> None:
    with worker.claim(recording, factories.make_recipe("raw_media"), {}) as claim:
        worker.results.fail(claim, NotFound("gone", remedy="none"), final=True)
    recordings.archive("default", [recording.id])
    recordings.requeue("default", [recording.id])
    assert recordings.pending(limit=5) == [recording]


def test_recording_added_again_is_unarchived(pipeline: Pipeline, add: Add) -> None:
    recording = add("a.wav")
    pipeline.services.pipeline.recordings.archive("default", [recording.id])
    assert add("a.wav") == recording
    assert pipeline.services.pipeline.recordings.unarchived_keys() == [recording.partition_key]


def test_reconciliation_follows_the_archive(pipeline: Pipeline, add: Add) -> None:
    old, new = add("a.wav"), add("b.wav")
    pipeline.run(old, new)
    recordings, instance = pipeline.services.pipeline.recordings, pipeline.instance
    reconcile = pipeline.definitions.resolve_job_def("reconcile_recordings")
    recordings.archive("default", [old.id])
    for _ in range(2):
        assert reconcile.execute_in_process(instance=instance).success
        assert list(instance.get_dynamic_partitions("recordings")) == [new.partition_key]
    assert pipeline.services.files.media.has(old)
    recordings.unarchive("default", [old.id])
    assert reconcile.execute_in_process(instance=instance).success
    assert set(instance.get_dynamic_partitions("recordings")) == {
        old.partition_key,
        new.partition_key,
    }
    assert pipeline.materialised("embeddings") == {old.id, new.id}

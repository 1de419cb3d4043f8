"""Delete recordings everywhere and verify that nothing is left.

Their rows are deleted first: from then on they cannot be found, and a worker that still processes
them loses its claim at its next step. All later steps can be repeated from the opaque id alone, so
an interrupted deletion is finished by the same command or at night.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

import dagster as dg

from pipeline_assets.partitions import PARTITION_SET
from playhead.core.partition_keys import id_suffix
from playhead.core.settings import Settings
from playhead.postgres.dagster_db.deletion import DagsterDeletion
from playhead.postgres.database_urls import app_url, dagster_tables_url
from playhead.postgres.deletion.physical_erasure import clear_log, erase, vacuum
from playhead.postgres.deletion.residue_scan import (
    ScanReport,
    scan_database,
    scan_files,
    scan_names,
    written_forms,
)
from playhead.services.context import Services


def delete(services: Services, instance: dg.DagsterInstance, ids: Sequence[str]) -> ScanReport:
    """Delete every trace of these recordings and return a scan for what is left.

    Raises ``RowsStillVisible`` or ``DatabaseUnavailable``; ``finish_deletion`` then does the rest.
    """
    words = services.deletion.identifying_texts(ids)
    traces = DagsterDeletion(dagster_tables_url(services.settings))
    traces.block_new_events(services.deletion.key_hashes(ids))
    services.deletion.delete(ids)
    return finish_deletion(services, instance, ids, words)


def finish_deletion(
    services: Services, instance: dg.DagsterInstance, ids: Sequence[str], words: Sequence[str] = ()
) -> ScanReport:
    """Delete everything except the rows and return a scan for what is left.

    ``words``: texts that occur only in these recordings, if they are still known.
    """
    settings = services.settings
    traces = DagsterDeletion(dagster_tables_url(settings))
    traces.block_new_events(services.deletion.key_hashes(ids))
    names = [*ids, *traces.keys_of(ids)]
    _delete_from_dagster(instance, traces, names, words)
    for identity in ids:
        services.files.media.delete(identity)
    # A deletion killed after Dagster's tables were cleaned no longer knows the keys, but their end.
    needles = [*names, *(f"-{id_suffix(identity)}" for identity in ids), *written_forms(words)]
    for path in _logs_containing(settings, needles):
        path.unlink(missing_ok=True)
    _erase(settings)
    report = _scan_for_residue(services, needles)
    if not report.found:
        services.deletion.mark_erased(ids)
    return report


def _delete_from_dagster(
    instance: dg.DagsterInstance,
    traces: DagsterDeletion,
    names: Sequence[str],
    words: Sequence[str],
) -> None:
    for run_id in traces.own_runs(names):
        instance.delete_run(run_id)
        delete_run_files(instance, run_id)
    traces.delete(names, words)
    for name in names:
        instance.delete_dynamic_partition(PARTITION_SET, name)


def delete_run_files(instance: dg.DagsterInstance, run_id: str) -> None:
    """Delete a run's logs and files, which Dagster keeps when the run itself is deleted."""
    instance.compute_log_manager.delete_logs(prefix=[run_id])
    shutil.rmtree(Path(instance.storage_directory()) / run_id, ignore_errors=True)


def _logs_containing(settings: Settings, needles: Sequence[str]) -> Iterator[Path]:
    """Yield the log files of steps and sensors that contain any of the texts.

    Such a file is deleted as a whole, since a log line may continue in the next.
    """
    report = ScanReport()
    scan_files(report, settings.home / "dagster", needles, ())
    return map(Path, report.found)


def _erase(settings: Settings) -> None:
    urls = (app_url(settings), dagster_tables_url(settings))
    for url in urls:
        if settings.database_url is None:
            erase(url)
        else:
            vacuum(url)
    if settings.database_url is None:
        clear_log(urls[0])


def _scan_for_residue(services: Services, needles: Sequence[str]) -> ScanReport:
    report, settings = ScanReport(), services.settings
    for url in (app_url(settings), dagster_tables_url(settings)):
        scan_database(report, url, needles)
    scan_names(report, services.files.media.names(), needles)
    places = (settings.media_location, settings.inbox_location)
    excluded = [settings.home / "models", settings.home / "spool"]
    excluded += [place for place in places if isinstance(place, Path)]
    scan_files(report, settings.home, needles, excluded=excluded)
    return report

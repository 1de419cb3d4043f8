"""Forgetting a recording everywhere, and the proof.

Its rows go first: from then on nobody finds it, and a worker that is still at it loses at its
next step. What follows can be done again from its opaque id alone, so a forgetting that was
killed is finished by the same command or at night. Not here: how each place forgets
(``playhead/postgres/deletion/rows.py``, ``dagster_traces.py``, ``erasing.py``).
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

import dagster as dg

from pipeline_assets.partitions import PARTITION_SET
from playhead.core.settings import Settings
from playhead.postgres.dagster_db.deletion import DagsterTraces
from playhead.postgres.database_urls import app_url, dagster_tables_url
from playhead.postgres.deletion.physical_erasure import clear_log, erase, vacuum
from playhead.postgres.deletion.residue_scan import (
    Look,
    as_written,
    look_at_names,
    look_in_database,
    look_in_files,
)
from playhead.services.context import Services


def forget(services: Services, instance: dg.DagsterInstance, ids: Sequence[str]) -> Look:
    """Remove every trace of these recordings, then look for them everywhere. Raises
    ``StillSeen``, ``DatabaseUnavailable``; then ``finish`` does the rest."""
    words = services.deletion.identifying_texts(ids)
    DagsterTraces(dagster_tables_url(services.settings)).guard(ids)
    services.deletion.forget(ids)
    return finish(services, instance, ids, words)


def finish(
    services: Services, instance: dg.DagsterInstance, ids: Sequence[str], words: Sequence[str] = ()
) -> Look:
    """All but the rows. ``words``: what these recordings alone had, where that is still known."""
    settings = services.settings
    _forget_in_dagster(instance, settings, ids, words)
    for one in ids:
        services.files.media.forget(one)
    for path in _logs_with(settings, [*ids, *as_written(words)]):
        path.unlink(missing_ok=True)
    _erase(settings)
    look = _look(services, [*ids, *as_written(words)])
    if not look.found:
        services.deletion.erased(ids)
    return look


def _forget_in_dagster(
    instance: dg.DagsterInstance, settings: Settings, ids: Sequence[str], words: Sequence[str]
) -> None:
    traces = DagsterTraces(dagster_tables_url(settings))
    traces.guard(ids)
    for run_id in traces.own_runs(ids):
        instance.delete_run(run_id)
        delete_run_files(instance, run_id)
    traces.forget(ids, words)
    for one in ids:
        instance.delete_dynamic_partition(PARTITION_SET, one)


def delete_run_files(instance: dg.DagsterInstance, run_id: str) -> None:
    """What a run printed and left on disk, which Dagster keeps when the run is deleted."""
    instance.compute_log_manager.delete_logs(prefix=[run_id])
    shutil.rmtree(Path(instance.storage_directory()) / run_id, ignore_errors=True)


def _logs_with(settings: Settings, needles: Sequence[str]) -> Iterator[Path]:
    """What steps and sensors printed. A file that names it goes as a whole: a log line may go on
    in the next."""
    look = Look()
    look_in_files(look, settings.home / "dagster", needles, ())
    return map(Path, look.found)


def _erase(settings: Settings) -> None:
    urls = (app_url(settings), dagster_tables_url(settings))
    for url in urls:
        if settings.database_url is None:
            erase(url)
        else:
            vacuum(url)
    if settings.database_url is None:
        clear_log(urls[0])


def _look(services: Services, needles: Sequence[str]) -> Look:
    look, settings = Look(), services.settings
    for url in (app_url(settings), dagster_tables_url(settings)):
        look_in_database(look, url, needles)
    look_at_names(look, services.files.media.names(), needles)
    places = (settings.media_place, settings.inbox_place)
    besides = [settings.home / "models", settings.home / "spool"]
    besides += [place for place in places if isinstance(place, Path)]
    look_in_files(look, settings.home, needles, besides=besides)
    return look

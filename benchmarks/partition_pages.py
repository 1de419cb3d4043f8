"""Waiting times of a person and the daemon with 100,000 recordings: pages, backfills, ticks, plans.

    python -m benchmarks.partition_pages [--count 100000] [--sentences 2] [--shots FOLDER] [--json]

Ready recordings are seeded (``seeding.py``) and reported to Dagster through its own API, a few that
fail are added, and ``dagster dev`` is started. Then a person at a headless Chromium
(``browser.py``) opens its pages three times, by full loads; the first time browser and webserver
are cold. The list of partitions is opened after a recording was added, which makes Dagster count
all again, and then once more. Each step lists its slowest GraphQL operation with its seconds. In
the dialog a hundred recordings are chosen in the two possible ways: all whose ids contain a typed
text (ids begin with the time of arrival), and one by one, as with a list of ids at hand.

Needs Chromium and the package that drives it: ``pip install --group browser``.
"""

from __future__ import annotations

import json
import os
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.request import Request, urlopen

import click
import dagster as dg
from dagster._core.execution.backfill import BULK_ACTION_TERMINAL_STATUSES, BulkActionStatus
from dagster._core.scheduler.instigation import InstigatorType
from dagster._core.storage.tags import BACKFILL_ID_TAG

from benchmarks import seeding
from benchmarks.browser import StepTiming, open_browser
from benchmarks.environments import (
    Home,
    free_port,
    json_option,
    print_rows,
    temporary_home,
    wait_until,
)
from pipeline_assets.maintenance.missing_events import report_missing_events
from pipeline_assets.partitions import PARTITION_SET
from pipeline_assets.planning.plan_runs import run_requests_for_plans
from pipeline_assets.runs import IN_PROGRESS_STATUSES
from playhead.core.records import STAGES
from playhead.core.settings import load_settings
from playhead.postgres.pipeline.recordings import new_recording_id

_ASSET = "embeddings"
_CHOSEN = 100
_BACKFILLED = 1000
_FAILING = 3  # recordings
_ROUNDS = 3
_TIMEOUT_SECONDS = 300.0
_COARSER = '{"recording": {"size": 24, "overlap": 0, "minimum": 8}}'
_GOOD = {BulkActionStatus.COMPLETED, BulkActionStatus.COMPLETED_SUCCESS}

_BACKFILL = """mutation ($parameters: LaunchBackfillParams!) {
    launchPartitionBackfill(backfillParams: $parameters) {
        ... on LaunchBackfillSuccess { backfillId }
        ... on PythonError { message } } }"""


@dataclass(frozen=True, slots=True)
class Row:
    """A step: seconds of the first time, median, maximum, and its slowest query if it has one."""

    step: str
    times: int
    first: float
    median: float
    most: float
    slowest_query: str
    load_average: float


def measure_browser(home: Home, url: str, ids: Sequence[str], shots: Path | None) -> Iterator[Row]:
    title, selected = seeding.own_word(len(ids) - 1), ids[:_CHOSEN]
    count_text, done, run_seconds = f"Materialized ({len(ids) + 1})", [], []
    with open_browser(url, _ASSET, shots) as user:
        for _ in range(_ROUNDS):
            _add_partition(home)
            user.open_partitions("partitions, one being new", count_text)
            user.open_partitions("partitions, none being new", count_text)
            user.open_asset_pages(ids[-1], title, partitions=_partitions(home))
            user.launch_backfill(selected)
            launched_at = time.monotonic()
            user.open_backfills()
            done.append(_wait_for_backfill(home) - launched_at)
            run_seconds.append(_backfill_run_seconds(home))
        for step, timings in user.timings.items():
            yield make_browser_row(step, timings)
    yield make_row(f"backfill of {_CHOSEN}, done", done)
    yield make_row(f"backfill of {_CHOSEN}, at work", run_seconds)


def measure_daemon(home: Home, url: str, ids: Sequence[str]) -> Iterator[Row]:
    """Measure a larger backfill, and the ticks of each sensor so far."""
    started_at = time.monotonic()
    _launch_backfill(url, ids[:_BACKFILLED])
    yield make_row(
        f"backfill of {_BACKFILLED}, all stages, done", [_wait_for_backfill(home) - started_at]
    )
    yield make_row(f"backfill of {_BACKFILLED}, at work", [_backfill_run_seconds(home)])
    states = home.instance.all_instigator_state(instigator_type=InstigatorType.SENSOR)
    for state in sorted(states, key=lambda state: state.instigator_name):
        ticks = home.instance.get_ticks(state.instigator_origin_id, state.selector_id)
        took = [tick.end_timestamp - tick.timestamp for tick in ticks if tick.end_timestamp]
        yield make_row(f"tick of {state.instigator_name}", took[::-1])


def measure_plan(home: Home) -> Iterator[Row]:
    """Measure a plan without differences, one with all chunks outdated, and its next runs."""
    yield make_row(
        "playhead plan, nothing differs", _time_rounds(lambda: home.run("playhead", "plan"))
    )
    os.environ["PLAYHEAD_CHUNKING"] = _COARSER
    yield make_row("playhead plan, all differs", _time_rounds(lambda: home.run("playhead", "plan")))
    yield make_row(
        "playhead plan --apply", [_time(lambda: home.run("playhead", "plan", "--apply"))]
    )
    services = replace(home.services, settings=load_settings())
    keys = home.instance.get_dynamic_partitions(PARTITION_SET)
    yield make_row(
        "what a plan runs next", _time_rounds(lambda: list(run_requests_for_plans(services, keys)))
    )


def seed_recordings(home: Home, count: int, sentences: int) -> list[str]:
    """Seed ready recordings, report them, and return all ids but the template's."""
    ids = seeding.seed(home.services, home.instance, count - 1, sentences)
    report_missing_events(home.instance, home.services.pipeline.audit)
    return ids


def _add_partition(home: Home) -> None:
    """Add a key without results, so that Dagster counts all partitions again."""
    home.instance.add_dynamic_partitions(PARTITION_SET, [new_recording_id()])


def _partitions(home: Home) -> int:
    return len(home.instance.get_dynamic_partitions(PARTITION_SET))


def add_failing(home: Home) -> None:
    """Ingest files that are not sound, and wait until they have failed."""
    for number in range(_FAILING):
        file = home.log.with_name(f"no-sound-{number}.wav")
        file.write_text(f"No sound, number {number}.")
        home.services.ingest.add(file, org_id=home.settings.org)
    wait_until(
        lambda: (
            home.idle
            and not home.instance.get_runs_count(dg.RunsFilter(statuses=IN_PROGRESS_STATUSES))
        ),
        seconds=_TIMEOUT_SECONDS,
    )


def rows(count: int, sentences: int, shots: Path | None) -> Iterator[Row]:
    engines = {"transcriber": "stub", "embedder": "stub"}
    with temporary_home(**engines, chunking=seeding.CHUNKING) as home:
        ids: list[str] = []
        yield make_row(
            "seeding", [_time(lambda: ids.extend(seed_recordings(home, count, sentences)))]
        )
        port = free_port()
        with home.dagster(port):
            url = f"http://127.0.0.1:{port}"
            add_failing(home)
            yield from measure_browser(home, url, ids, shots)
            yield from measure_daemon(home, url, ids)
        yield from measure_plan(home)


def make_row(step: str, seconds: Sequence[float]) -> Row:
    first, median = round(seconds[0], 2), round(statistics.median(seconds), 2)
    load = round(os.getloadavg()[0], 1)
    return Row(step, len(seconds), first, median, round(max(seconds), 2), "", load)


def make_browser_row(step: str, timings: Sequence[StepTiming]) -> Row:
    slowest = max(timings, key=lambda timing: timing.query_seconds)
    return replace(
        make_row(step, [timing.seconds for timing in timings]),
        slowest_query=f"{slowest.query} {slowest.query_seconds:.2f}" if slowest.query else "",
        load_average=round(statistics.mean(timing.load_average for timing in timings), 1),
    )


def _time(action: Callable[[], object]) -> float:
    started_at = time.monotonic()
    action()
    return time.monotonic() - started_at


def _time_rounds(action: Callable[[], object]) -> list[float]:
    return [_time(action) for _ in range(_ROUNDS)]


def _wait_for_backfill(home: Home) -> float:
    """Wait for the newest backfill and return the monotonic time of its end.

    Raises ``ClickException`` if it failed.
    """

    def status() -> BulkActionStatus:
        return home.instance.get_backfills(limit=1)[0].status

    wait_until(lambda: status() in BULK_ACTION_TERMINAL_STATUSES, seconds=_TIMEOUT_SECONDS)
    if status() not in _GOOD:
        raise home.failure()
    return time.monotonic()


def _backfill_run_seconds(home: Home) -> float:
    """Return the seconds from the newest backfill's first run start to its last run end."""
    backfill_id = home.instance.get_backfills(limit=1)[0].backfill_id
    runs = home.instance.get_run_records(dg.RunsFilter(tags={BACKFILL_ID_TAG: backfill_id}))
    starts = [run.start_time for run in runs if run.start_time]
    return max(run.end_time or 0.0 for run in runs) - min(starts)


def _launch_backfill(url: str, ids: Sequence[str]) -> None:
    parameters = {"partitionNames": ids, "assetSelection": [{"path": [stage]} for stage in STAGES]}
    body = {"query": _BACKFILL, "variables": {"parameters": parameters}}
    headers = {"Content-Type": "application/json"}
    with urlopen(Request(f"{url}/graphql", json.dumps(body).encode(), headers)) as reply:
        answer = json.load(reply)["data"]["launchPartitionBackfill"]
    if "backfillId" not in answer:
        raise click.ClickException(str(answer))


@click.command()
@click.option(
    "--count", type=click.IntRange(min=_BACKFILLED + 1), default=100_000, show_default=True
)
@click.option("--sentences", type=click.IntRange(min=1), default=2, show_default=True)
@click.option("--shots", type=click.Path(path_type=Path), help="A folder for screenshots.")
@json_option
def main(count: int, sentences: int, shots: Path | None, as_json: bool) -> None:
    """Open Dagster's pages with COUNT recordings of SENTENCES spoken sentences."""
    print_rows(rows(count, sentences, shots), as_json=as_json)


if __name__ == "__main__":
    main()

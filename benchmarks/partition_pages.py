"""What a person and the daemon wait for among 100,000 recordings: pages, backfills, ticks, plans.

    python -m benchmarks.partition_pages [--count 100000] [--sentences 2] [--shots FOLDER] [--json]

Seeds ready recordings (``seeding.py``), tells Dagster of them through its own API, adds a few that
fail, and starts ``dagster dev``. Then a person at a headless Chromium (``browser.py``) opens its
pages three times over, by full loads; the first time browser and webserver are cold. The list of
partitions is opened after a recording came, which makes Dagster count all anew, and then again.
Beside a step is the GraphQL operation that took longest, and its seconds. In the dialog a hundred
recordings are chosen the two ways it has: all whose ids contain what is typed (ids begin with the
moment they came), and one by one, as with a list of ids at hand.

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
_FEW = 3  # recordings that fail
_ROUNDS = 3
_PATIENCE_SECONDS = 300.0
_COARSER = '{"recording": {"size": 24, "overlap": 0, "minimum": 8}}'
_GOOD = {BulkActionStatus.COMPLETED, BulkActionStatus.COMPLETED_SUCCESS}

_BACKFILL = """mutation ($wanted: LaunchBackfillParams!) {
    launchPartitionBackfill(backfillParams: $wanted) {
        ... on LaunchBackfillSuccess { backfillId }
        ... on PythonError { message } } }"""


@dataclass(frozen=True, slots=True)
class Row:
    """A step: seconds the first time, the median, the most; its slowest query, where it had one."""

    step: str
    times: int
    first: float
    median: float
    most: float
    slowest_query: str
    load_average: float


def measure_browser(home: Home, url: str, ids: Sequence[str], shots: Path | None) -> Iterator[Row]:
    title, chosen = seeding.own_word(len(ids) - 1), ids[:_CHOSEN]
    counted, done, worked = f"Materialized ({len(ids) + 1})", [], []
    with open_browser(url, _ASSET, shots) as person:
        for _ in range(_ROUNDS):
            _another_comes(home)
            person.open_partitions("partitions, one being new", counted)
            person.open_partitions("partitions, none being new", counted)
            person.open_asset_pages(ids[-1], title, partitions=_partitions(home))
            person.launch_backfill(chosen)
            asked = time.monotonic()
            person.open_backfills()
            done.append(_ended(home) - asked)
            worked.append(_at_work(home))
        for step, seen in person.timings.items():
            yield row_of_browser(step, seen)
    yield row(f"backfill of {_CHOSEN}, done", done)
    yield row(f"backfill of {_CHOSEN}, at work", worked)


def measure_daemon(home: Home, url: str, ids: Sequence[str]) -> Iterator[Row]:
    """A larger backfill, and what the sensors took meanwhile and before, by what they found."""
    begun = time.monotonic()
    _ask_for_backfill(url, ids[:_BACKFILLED])
    yield row(f"backfill of {_BACKFILLED}, all stages, done", [_ended(home) - begun])
    yield row(f"backfill of {_BACKFILLED}, at work", [_at_work(home)])
    states = home.instance.all_instigator_state(instigator_type=InstigatorType.SENSOR)
    for state in sorted(states, key=lambda state: state.instigator_name):
        ticks = home.instance.get_ticks(state.instigator_origin_id, state.selector_id)
        took = [tick.end_timestamp - tick.timestamp for tick in ticks if tick.end_timestamp]
        yield row(f"tick of {state.instigator_name}", took[::-1])


def measure_plan(home: Home) -> Iterator[Row]:
    """With nothing to be done, then with all passages to be cut anew; and the work of a tick."""
    yield row("playhead plan, nothing differs", _seconds(lambda: home.run("playhead", "plan")))
    os.environ["PLAYHEAD_CHUNKING"] = _COARSER
    yield row("playhead plan, all differs", _seconds(lambda: home.run("playhead", "plan")))
    yield row("playhead plan --apply", [_took(lambda: home.run("playhead", "plan", "--apply"))])
    services = replace(home.services, settings=load_settings())
    keys = home.instance.get_dynamic_partitions(PARTITION_SET)
    yield row(
        "what a plan runs next", _seconds(lambda: list(run_requests_for_plans(services, keys)))
    )


def seeded(home: Home, count: int, sentences: int) -> list[str]:
    """Ready, and told of. The ids of all but the template."""
    ids = seeding.seed(home.services, home.instance, count - 1, sentences)
    report_missing_events(home.instance, home.services.pipeline.audit)
    return ids


def _another_comes(home: Home) -> None:
    """A key that has nothing yet. Dagster then counts all partitions anew when they are asked
    for."""
    home.instance.add_dynamic_partitions(PARTITION_SET, [new_recording_id()])


def _partitions(home: Home) -> int:
    return len(home.instance.get_dynamic_partitions(PARTITION_SET))


def some_fail(home: Home) -> None:
    """Files that are no sound, taken in and tried."""
    for number in range(_FEW):
        file = home.log.with_name(f"no-sound-{number}.wav")
        file.write_text(f"No sound, number {number}.")
        home.services.ingest.add(file, org_id=home.settings.org)
    wait_until(
        lambda: (
            home.idle
            and not home.instance.get_runs_count(dg.RunsFilter(statuses=IN_PROGRESS_STATUSES))
        ),
        seconds=_PATIENCE_SECONDS,
    )


def rows(count: int, sentences: int, shots: Path | None) -> Iterator[Row]:
    engines = {"transcriber": "stub", "embedder": "stub"}
    with temporary_home(**engines, chunking=seeding.CHUNKING) as home:
        ids: list[str] = []
        yield row("seeding", [_took(lambda: ids.extend(seeded(home, count, sentences)))])
        port = free_port()
        with home.dagster(port):
            url = f"http://127.0.0.1:{port}"
            some_fail(home)
            yield from measure_browser(home, url, ids, shots)
            yield from measure_daemon(home, url, ids)
        yield from measure_plan(home)


def row(step: str, seconds: Sequence[float]) -> Row:
    first, median = round(seconds[0], 2), round(statistics.median(seconds), 2)
    load = round(os.getloadavg()[0], 1)
    return Row(step, len(seconds), first, median, round(max(seconds), 2), "", load)


def row_of_browser(step: str, seen: Sequence[StepTiming]) -> Row:
    longest = max(seen, key=lambda page: page.query_seconds)
    return replace(
        row(step, [page.seconds for page in seen]),
        slowest_query=f"{longest.query} {longest.query_seconds:.2f}" if longest.query else "",
        load_average=round(statistics.mean(page.load_average for page in seen), 1),
    )


def _took(act: Callable[[], object]) -> float:
    begun = time.monotonic()
    act()
    return time.monotonic() - begun


def _seconds(act: Callable[[], object]) -> list[float]:
    return [_took(act) for _ in range(_ROUNDS)]


def _ended(home: Home) -> float:
    """When the newest backfill did, by the monotonic clock. Raises ``ClickException`` when it
    failed."""

    def status() -> BulkActionStatus:
        return home.instance.get_backfills(limit=1)[0].status

    wait_until(lambda: status() in BULK_ACTION_TERMINAL_STATUSES, seconds=_PATIENCE_SECONDS)
    if status() not in _GOOD:
        raise home.failure()
    return time.monotonic()


def _at_work(home: Home) -> float:
    """From the start of the newest backfill's first run to the end of its last."""
    newest = home.instance.get_backfills(limit=1)[0].backfill_id
    runs = home.instance.get_run_records(dg.RunsFilter(tags={BACKFILL_ID_TAG: newest}))
    starts = [run.start_time for run in runs if run.start_time]
    return max(run.end_time or 0.0 for run in runs) - min(starts)


def _ask_for_backfill(url: str, ids: Sequence[str]) -> None:
    wanted = {"partitionNames": ids, "assetSelection": [{"path": [stage]} for stage in STAGES]}
    body = {"query": _BACKFILL, "variables": {"wanted": wanted}}
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
    """COUNT recordings of SENTENCES spoken sentences, in Dagster's pages."""
    print_rows(rows(count, sentences, shots), as_json=as_json)


if __name__ == "__main__":
    main()

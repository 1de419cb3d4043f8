"""The command line's promises: exit codes, retries, progress, crashes. Engines take no time."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
import wave
from dataclasses import replace
from pathlib import Path

import pytest
from psycopg.rows import DictRow

from playhead.core.settings import Settings
from playhead.postgres.database import Database
from playhead.postgres.database_urls import app_url
from tests.end_to_end.conftest import Home

#: Results a worker is at: two groups of those made together, and one made by itself.
IN_HAND = 2 * 16 + 1


def tone(path: Path, number: int = 0) -> Path:
    """A tiny sound file of its own."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16_000)
        file.writeframes(number.to_bytes(4, "little") + bytes(16_000))
    return path


def statuses(home: Home) -> dict[str, str]:
    return {line["title"]: line["status"] for line in home.json("list")}


def ready(home: Home) -> int:
    return list(statuses(home).values()).count("ready")


def test_killed_workers_cost_nothing_and_the_next_one_goes_on(home: Home) -> None:
    # More than two groups of those that are embedded together, and so are ready at once.
    files = [tone(home.folder / f"{number}.wav", number) for number in range(70)]
    home.playhead("add", *files)
    kept: dict[int, DictRow] = {}
    under_way: set[int] = set()
    for _ in range(2):  # as many as the pool of runs has places, which the dead would keep
        before = ready(home)
        worker = home.start("process")
        deadline = time.monotonic() + 120
        while ready(home) == before:
            assert time.monotonic() < deadline, "the worker never finished one"
        os.kill(worker.pid, signal.SIGKILL)
        worker.wait()
        left = ledger(home)
        kept |= {key: row for key, row in left.items() if row["state"] == "done"}
        under_way |= left.keys() - kept.keys()
    assert ready(home) < len(files), "both were killed too late to show anything"
    home.playhead("process")
    assert set(statuses(home).values()) == {"ready"}
    results = ledger(home)
    assert len(results) == 5 * len(files)
    assert {row["state"] for row in results.values()} == {"done"}
    assert {key: results[key] for key in kept} == kept, "what was done was made again"
    begun_again = {key for key, row in results.items() if row["attempt"] > 1}
    assert begun_again <= under_way
    assert len(begun_again) <= 2 * IN_HAND


def ledger(home: Home) -> dict[int, DictRow]:
    """Every result by its id."""
    database = Database(app_url(Settings(home=home.folder)))
    try:
        return {row["id"]: row for row in database.rows(b"select * from stage_results")}
    finally:
        database.close()


def test_an_interrupted_worker_hands_back_cleanly(home: Home) -> None:
    files = [tone(home.folder / f"{number}.wav", number) for number in range(30)]
    home.playhead("add", *files)
    worker = home.start("process", "--watch")
    deadline = time.monotonic() + 120
    while "ready" not in statuses(home).values():
        assert time.monotonic() < deadline, "the worker never finished one"
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(timeout=60) == 0, worker.communicate()[0]
    assert "failed" not in statuses(home).values()
    home.playhead("process")
    assert set(statuses(home).values()) == {"ready"}


def test_a_watcher_takes_what_comes_later(home: Home) -> None:
    worker = home.start("process", "--watch")
    try:
        [added] = home.json("add", tone(home.folder / "later.wav"))
        followed = home.playhead("status", added["recording"], "--follow", "--json")
        lines = [json.loads(line) for line in followed.splitlines()]
        assert lines[-1]["status"] == "ready"
        percents = [line["percent"] for line in lines]
        assert percents == sorted(percents)
    finally:
        worker.send_signal(signal.SIGINT)
        assert worker.wait(timeout=60) == 0


def test_a_retry_replays_from_the_failed_stage_and_nothing_earlier(home: Home) -> None:
    [added] = home.json("add", tone(home.folder / "a.wav"))
    stored = next((home.folder / "media").rglob("*.wav"))
    shutil.move(stored, home.folder / "kept.wav")
    home.playhead("process", exits=1)
    assert statuses(home) == {"a": "failed"}
    shutil.move(home.folder / "kept.wav", stored)
    assert "from raw_media on" in home.playhead("retry", added["recording"])
    home.playhead("process", added["recording"])
    assert statuses(home) == {"a": "ready"}


def test_a_changed_setting_is_planned_then_made_and_then_nothing_is_left(home: Home) -> None:
    home.playhead("add", tone(home.folder / "a.wav"))
    home.playhead("process")
    assert home.json("plan") == []
    sizes = {"recording": {"size": 16, "overlap": 2, "minimum": 8}}
    changed = replace(home, settings=home.settings | {"PLAYHEAD_CHUNKING": json.dumps(sizes)})
    [stale, follows] = changed.json("plan", "--since", "2026-01-01", "--kind", "recording")
    assert (stale["stage"], stale["reason"], stale["moved"]) == ("chunks", "stale", ["parameters"])
    assert (follows["stage"], follows["reason"]) == ("embeddings", "downstream")
    assert changed.json("plan", "--stage", "embeddings") == [follows]
    changed.playhead("plan", "--apply")
    assert "cancelled" in changed.playhead("plan", "--cancel", "1")
    changed.playhead("plan", "--cancel", "1", exits=1)
    changed.playhead("plan", "--apply")
    assert changed.playhead("process").endswith("1 of 1 ready\n")
    assert changed.json("plan") == []
    assert [plan["state"] for plan in changed.json("plan", "--list")] == ["cancelled", "done"]


def test_wrong_usage_exits_with_two_and_failure_with_one(home: Home) -> None:
    home.playhead("add", exits=2)
    home.playhead("add", home.folder / "missing.flac", exits=2)
    home.playhead("search", "x", "--kind", "song", exits=2)
    home.playhead("show", "no-such-recording", exits=1)
    home.playhead("status", "01a20126-2c76-75ee-a0d8-85f69dacc231", exits=1)
    home.playhead("process", "01a20126-2c76-75ee-a0d8-85f69dacc231", exits=1)


def test_another_organisation_sees_nothing_of_ours(home: Home) -> None:
    [ours] = home.json("add", tone(home.folder / "a.wav"))
    home.playhead("process")
    for command in (["list"], ["search", "amber"], ["ask", "amber?"], ["conversations"], ["spend"]):
        home.playhead(*command, "--org", "other", exits=1)  # nobody knows of it yet
    home.playhead("orgs", "add", "other")
    assert home.json("list", "--org", "other") == []
    assert home.json("search", "amber birch", "--org", "other") == []
    home.playhead("show", ours["recording"], "--org", "other", exits=1)
    [theirs] = home.json("add", home.folder / "a.wav", "--org", "other")
    assert not theirs["duplicate"]
    assert "1 of 1 ready" in home.playhead("process")
    assert [line["status"] for line in home.json("list", "--org", "other")] == ["ready"]


def test_every_wrong_setting_is_told_at_once(home: Home) -> None:
    wrong = Home(home.folder, {"PLAYHEAD_TRANSCRIBER": "wisper", "PLAYHEAD_EMBEDDER": "minilmm"})
    wrong.playhead("add", tone(home.folder / "a.wav"))
    run = subprocess.run(
        ["playhead", "process"],
        env=wrong.environment | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 1
    assert "PLAYHEAD_TRANSCRIBER" in run.stderr
    assert "PLAYHEAD_EMBEDDER" in run.stderr
    assert "minilm" in run.stderr


def test_hostile_names_are_titles_and_nothing_else(home: Home) -> None:
    names = ["-rf.wav", "a\nb.wav", "☃ 🎧.wav", "x" * 240 + ".wav", "$(touch owned).wav"]
    for number, name in enumerate(names):
        tone(home.folder / "inbound.wav", number + 1).rename(home.folder / name)
        home.playhead("add", "--", home.folder / name)
    home.playhead("add", "--title", "../../etc/passwd", "--", tone(home.folder / "t.wav", 99))
    home.playhead("process")
    lines = home.json("list")
    assert {line["status"] for line in lines} == {"ready"}
    assert "../../etc/passwd" in {line["title"] for line in lines}
    assert "a b" in {line["title"] for line in lines}
    stored = [path for path in (home.folder / "media").rglob("*") if path.is_file()]
    assert sorted(path.stem for path in stored) == sorted(line["id"] for line in lines)
    assert not (home.folder / "owned").exists()


@pytest.mark.parametrize("command", ["doctor", "migrate", "list"])
def test_a_machine_in_order_is_told_so(home: Home, command: str) -> None:
    home.playhead(command)


def test_migrate_tells_what_it_did(home: Home) -> None:
    assert "0001_spine" in home.playhead("migrate")
    assert "up to date" in home.playhead("migrate")


def test_the_server_stops_on_command_and_comes_back(home: Home) -> None:
    home.playhead("add", tone(home.folder / "a.wav"))
    home.playhead("stop")
    assert statuses(home) == {"a": "uploaded"}

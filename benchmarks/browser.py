"""A person at a headless browser who opens an asset in Dagster's UI and backfills it.

A step lasts until its subject is visible. ``partition_pages.py`` has the steps and the figures.
Needs Chromium, and the package that drives it: ``pip install --group browser``.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import click
from playwright.sync_api import Page, Request, ViewportSize, expect, sync_playwright

_PATIENCE_SECONDS = 300.0
_WINDOW: ViewportSize = {"width": 1440, "height": 900}
_KEY = re.compile("^[0-9a-f]{8}-")  # the page leaves out its middle
_SELECT_ALL = re.compile(r"Select all \(\d+\)")


@dataclass(frozen=True, slots=True)
class StepTiming:
    """One execution of a step. ``query``: the slowest GraphQL operation."""

    seconds: float
    query: str
    query_seconds: float
    load_average: float


class BrowserUser:
    """A person in the UI; ``timings`` has each execution by step."""

    def __init__(self, page: Page, url: str, asset: str, shots: Path | None) -> None:
        self.timings: dict[str, list[StepTiming]] = defaultdict(list)
        self._page = page
        self._backfills_page = f"{url}/runs?view=backfills"
        self._asset_page = f"{url}/assets/{asset}"
        self._shots = shots
        self._queries: list[tuple[float, str]] = []
        page.set_default_timeout(1000 * _PATIENCE_SECONDS)
        expect.set_options(timeout=1000 * _PATIENCE_SECONDS)
        page.on("requestfinished", self._note)

    def open_partitions(self, step: str, expected_count: str) -> None:
        """Open the asset's partitions, and wait for the number that the page shows."""
        page = self._page
        with self._timed(step):
            page.goto(f"{self._asset_page}?view=partitions")
            expect(page.get_by_text(expected_count)).to_be_visible()
            expect(page.get_by_text(_KEY).first).to_be_visible()

    def open_asset_pages(self, partition: str, title: str, partitions: int) -> None:
        """Open the asset's other pages, and a partition whose metadata has ``title``."""
        page = self._page
        with self._timed("asset page"):
            self._open_asset()
        with self._timed("a partition"):
            page.goto(f"{self._asset_page}?view=partitions&partition={partition}")
            expect(page.get_by_text(title).first).to_be_visible()
        with self._timed("lineage"):
            page.goto(f"{self._asset_page}?view=lineage")
            counts = page.get_by_text(f"{partitions:,} partitions")
            expect(counts).to_have_count(2)  # of the asset and its parent

    def launch_backfill(self, ids: Sequence[str]) -> None:
        """Launch a backfill from the asset's page, with both ways to choose partitions.

        First all partitions whose key contains a typed text are chosen and deselected, then each
        partition is chosen by itself.
        """
        page = self._page
        self._open_asset()
        with self._timed("dialog of Materialize"):
            page.get_by_role("button", name=re.compile("Materialize")).first.click()
            page.get_by_text("Select a partition or create one").click()
            expect(page.get_by_text(_SELECT_ALL)).to_be_visible()
        prefix = ids[0][:12]  # ids begin with the time
        with self._timed("all of a moment chosen"):
            self._tick(prefix, _SELECT_ALL)
        self._tick(prefix, _SELECT_ALL, checked=False)
        with self._timed(f"{len(ids)} chosen one by one"):
            for identity in ids:
                self._tick(identity, identity)
        with self._timed("backfill asked for"):
            page.keyboard.press("Escape")
            expect(page.get_by_text(f"{len(ids)} partitions selected")).to_be_visible()
            page.get_by_role("button", name="Launch backfill").click()
            expect(page.get_by_text("Created backfill")).to_be_visible()

    def open_backfills(self) -> None:
        with self._timed("page of backfills"):
            self._page.goto(self._backfills_page)
            expect(self._page.get_by_text("Manually launched").first).to_be_visible()

    def _open_asset(self) -> None:
        self._page.goto(self._asset_page)
        expect(self._page.get_by_text("made_from")).to_be_visible()
        expect(self._page.get_by_text("Latest check results")).to_be_visible()  # comes last

    def _tick(self, typed: str, what: str | re.Pattern[str], *, checked: bool = True) -> None:
        """Type into the filter, and tick the remaining line."""
        self._page.get_by_placeholder("Filter partitions").fill(typed)
        line = self._page.get_by_role("menuitem").filter(has_text=what)
        line.locator("svg").click()
        expect(line.get_by_role("checkbox")).to_be_checked(checked=checked)

    @contextmanager
    def _timed(self, step: str) -> Iterator[None]:
        self._queries.clear()
        started_at = time.monotonic()
        yield
        seconds, load = time.monotonic() - started_at, os.getloadavg()[0]
        longest, query = max(self._queries, default=(0.0, ""))
        self.timings[step].append(StepTiming(seconds, query, longest, load))
        if self._shots:
            name = f"{step.replace(' ', '-')}-{len(self.timings[step])}.png"
            self._page.screenshot(path=self._shots / name)

    def _note(self, request: Request) -> None:
        if "/graphql" in request.url and request.post_data:
            query = json.loads(request.post_data)["operationName"]
            self._queries.append((request.timing["responseEnd"] / 1000, query))


@contextmanager
def open_browser(url: str, asset: str, shots: Path | None) -> Iterator[BrowserUser]:
    """Yield a person at a browser; ``shots`` is a folder for a picture of each step.

    Raises ``ClickException`` if Chromium is missing.
    """
    program = _chromium()
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield BrowserUser(browser.new_page(viewport=_WINDOW), url, asset, shots)
        browser.close()


def _chromium() -> str:
    for name in ("chromium", "chromium-browser", "google-chrome"):
        if found := shutil.which(name):
            return found
    raise click.ClickException("There is no Chromium here. Install it: apt install chromium")

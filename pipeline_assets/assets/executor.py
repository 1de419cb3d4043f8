"""Hands that take recordings through their stages: one by one where a stage takes its time, and
many together, beside that, where the writing down takes longer than the work.

Not here: what a stage makes (a file each beside this one) and what Dagster is told of it
(``recordings.py``).
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

from pipeline_assets.assets.batch_stage import Together
from pipeline_assets.assets.chunks import make_chunks
from pipeline_assets.assets.document import make_document
from pipeline_assets.assets.embeddings import make_embeddings
from pipeline_assets.assets.raw_media import make_raw_media
from pipeline_assets.assets.stage import Made, Outcome, Work, caught
from pipeline_assets.assets.transcript import make_transcript
from playhead.core.records import Stage

_SECONDS = 1.0  # recordings that come within it are cut and embedded together,
_MOST = 16  # but no more than these
_AT_ONCE = 2  # while one group waits for the database or the embedder, another is cut

_ALONE: dict[Stage, Callable[[Work], Outcome]] = {
    "raw_media": make_raw_media,
    "transcript": make_transcript,
    "document": make_document,
}
_TOGETHER: dict[Stage, Together] = {"chunks": make_chunks, "embeddings": make_embeddings}

Tell = Callable[[Work, Stage, Made], None]
_Group = list[tuple[Work, Sequence[Stage]]]
_Told = list[tuple[Work, Stage, Made]]


class Hands:
    """``tell`` is called in the thread that takes, with what became of each stage. A recording
    whose stage failed goes no further."""

    def __init__(self, tell: Tell) -> None:
        self._tell = tell
        self._threads = ThreadPoolExecutor(_AT_ONCE, "together")
        self._busy: deque[tuple[Future[None], _Told]] = deque()
        self._group: _Group = []
        self._since = 0.0

    def __enter__(self) -> Hands:
        return self

    def __exit__(self, *_: object) -> None:
        self._threads.shutdown(cancel_futures=True)
        for _future, told in self._busy:
            self._tell_all(told)

    def take(self, work: Work, stages: Sequence[Stage]) -> None:
        """Through ``stages``, in their order. Raises ``Stopped``."""
        began = time.monotonic()
        for stage in _ALONE:
            if stage in stages and not self._made_alone(work, stage):
                return
        self._since = self._since if self._group else began
        self._group.append((work, stages))
        if time.monotonic() - self._since > _SECONDS or len(self._group) == _MOST:
            self._hand_over()

    def finish(self) -> None:
        """Returns when all is made and told. Raises ``Stopped``."""
        if self._busy:
            self._hand_over()
        while self._busy:
            self._wait()
        told: _Told = []
        try:
            _make_together(self._group, told)
        finally:
            self._tell_all(told)

    def _made_alone(self, work: Work, stage: Stage) -> bool:
        work.services.raise_if_stopping()
        made = caught(_ALONE[stage], work)
        self._tell(work, stage, made)
        return isinstance(made, Outcome)

    def _hand_over(self) -> None:
        if len(self._busy) == _AT_ONCE:
            self._wait()
        group, self._group = self._group, []
        told: _Told = []
        self._busy.append((self._threads.submit(_make_together, group, told), told))

    def _wait(self) -> None:
        future, told = self._busy.popleft()
        try:
            future.result()
        finally:
            self._tell_all(told)

    def _tell_all(self, told: _Told) -> None:
        for one in told:
            self._tell(*one)


def _make_together(group: _Group, told: _Told) -> None:
    """Adds what became of each to ``told`` as it is known, since ``Stopped`` may come between."""
    failed: set[str] = set()
    for stage, make in _TOGETHER.items():
        works = [
            work for work, stages in group if stage in stages and work.recording.id not in failed
        ]
        if works:
            works[0].services.raise_if_stopping()
        for work, made in zip(works, make(works), strict=True):
            told.append((work, stage, made))
            if not isinstance(made, Outcome):
                failed.add(work.recording.id)

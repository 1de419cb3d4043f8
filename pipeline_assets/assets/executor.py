"""Run recordings through the stages.

Probe, transcribe and write run one recording at a time. Chunk and embed run in batches on two
background threads, because writing their results takes longer than computing them.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Lock

from pipeline_assets.assets.batch_stage import BatchStage
from pipeline_assets.assets.chunks import chunk_stage
from pipeline_assets.assets.document import make_document
from pipeline_assets.assets.embeddings import EMBEDDINGS
from pipeline_assets.assets.raw_media import make_raw_media
from pipeline_assets.assets.stage import RecordingContext, StageOutcome, StageResult, capture_error
from pipeline_assets.assets.transcript import make_transcript
from playhead.core.records import Stage

_BATCH_WAIT_SECONDS = 1.0  # recordings within this time are batched,
_MAX_BATCH = 16  # up to this many
_BATCH_THREADS = 2  # one batch is chunked while another waits for database or embedder

_SINGLE: dict[Stage, Callable[[RecordingContext], StageResult]] = {
    "raw_media": make_raw_media,
    "transcript": make_transcript,
    "document": make_document,
}
#: Chunking holds the GIL: one thread chunks while the other waits for the database.
_CHUNKING_LOCK = Lock()
_BATCHED: dict[Stage, BatchStage] = {
    "chunks": chunk_stage(_CHUNKING_LOCK),
    "embeddings": EMBEDDINGS,
}

OnOutcome = Callable[[RecordingContext, Stage, StageOutcome], None]
_Batch = list[tuple[RecordingContext, Sequence[Stage]]]
_Outcomes = list[tuple[RecordingContext, Stage, StageOutcome]]


class StageExecutor:
    """Runs recordings through the stages.

    Calls its callback with the outcome of each stage, in the thread that calls ``run``. A recording
    whose stage failed does not continue.
    """

    def __init__(self, on_outcome: OnOutcome) -> None:
        self._on_outcome = on_outcome
        self._threads = ThreadPoolExecutor(_BATCH_THREADS, "batch")
        self._busy: deque[tuple[Future[None], _Outcomes]] = deque()
        self._group: _Batch = []
        self._since = 0.0

    def __enter__(self) -> StageExecutor:
        return self

    def __exit__(self, *_: object) -> None:
        self._threads.shutdown(cancel_futures=True)
        for _future, outcomes in self._busy:
            self._report_all(outcomes)

    def run(self, work: RecordingContext, stages: Sequence[Stage]) -> None:
        """Run a recording through ``stages``, in their order.

        Raises ``WorkerStopping``.
        """
        started = time.monotonic()
        for stage in _SINGLE:
            if stage in stages and not self._run_single(work, stage):
                return
        self._since = self._since if self._group else started
        self._group.append((work, stages))
        if time.monotonic() - self._since > _BATCH_WAIT_SECONDS or len(self._group) == _MAX_BATCH:
            self._submit_batch()

    def finish(self) -> None:
        """Wait until all recordings are processed and reported.

        Raises ``WorkerStopping``.
        """
        if self._busy:
            self._submit_batch()
        while self._busy:
            self._wait_for_batches()
        outcomes: _Outcomes = []
        try:
            _run_batch(self._group, outcomes)
        finally:
            self._report_all(outcomes)

    def _run_single(self, work: RecordingContext, stage: Stage) -> bool:
        work.services.raise_if_stopping()
        outcome = capture_error(_SINGLE[stage], work)
        self._on_outcome(work, stage, outcome)
        return isinstance(outcome, StageResult)

    def _submit_batch(self) -> None:
        if len(self._busy) == _BATCH_THREADS:
            self._wait_for_batches()
        group, self._group = self._group, []
        outcomes: _Outcomes = []
        self._busy.append((self._threads.submit(_run_batch, group, outcomes), outcomes))

    def _wait_for_batches(self) -> None:
        future, outcomes = self._busy.popleft()
        try:
            future.result()
        finally:
            self._report_all(outcomes)

    def _report_all(self, outcomes: _Outcomes) -> None:
        for outcome in outcomes:
            self._on_outcome(*outcome)


def _run_batch(group: _Batch, outcomes: _Outcomes) -> None:
    """Run a batch through the batched stages and append each outcome to the given list.

    Outcomes are appended as they become known, since ``WorkerStopping`` may end the batch early.
    """
    failed: set[str] = set()
    for stage, batch_stage in _BATCHED.items():
        works = [
            work for work, stages in group if stage in stages and work.recording.id not in failed
        ]
        if works:
            works[0].services.raise_if_stopping()
        for work, outcome in zip(works, batch_stage.run(works), strict=True):
            outcomes.append((work, stage, outcome))
            if not isinstance(outcome, StageResult):
                failed.add(work.recording.id)

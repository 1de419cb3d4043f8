"""The programs of ``kills.py``: Playhead with embedders that log every text before embedding it.

    dagster api grpc -m benchmarks.usage_counters -a defs ...    the code server
    python -m benchmarks.usage_counters                          the warm worker

Texts are counted across all processes, also killed ones: one line per call, appended.
"""

from __future__ import annotations

import json
import os
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import dagster as dg

from pipeline_assets.definitions import build_definitions
from pipeline_assets.worker.in_process_runner import InProcessRunner
from pipeline_assets.worker.worker import Worker
from playhead.core.protocols.embedder import Embedder, Vectors
from playhead.core.records import text_hash
from playhead.core.settings import Settings, load_settings
from playhead.engines.embedding.stub import StubEmbedder
from playhead.engines.embedding.wordllama import WordLlama
from playhead.engines.registry import EmbedderRegistry, Engines, build_engines
from playhead.services.context import open_pipeline_services
from resources.dagster_storage import open_instance

_LOG = "embedded.txt"
_CALL_SECONDS = 0.5  # like a provider, so that some processes are killed during a call
_MAKERS: dict[str, Callable[[], Embedder]] = {"stub": StubEmbedder, "wordllama": WordLlama}


class CountingEmbedder:
    """An embedder that logs its texts."""

    def __init__(self, name: str, embedder: Embedder, log: Path) -> None:
        self.price = embedder.price
        self.engine = embedder.engine
        self.dimensions = embedder.dimensions
        self.window_tokens = embedder.window_tokens
        self.tokenizer = embedder.tokenizer
        self.tokens = embedder.tokens
        self._name = name
        self._embedder = embedder
        self._log = log

    def batches(self, texts: Sequence[str]) -> Sequence[range]:
        return self._embedder.batches(texts)

    def embed(self, texts: Sequence[str]) -> Vectors:
        line = json.dumps([self._name, [text_hash(text) for text in texts]])
        with self._log.open("ab") as log:
            os.write(log.fileno(), f"{line}\n".encode())  # a single write: calls never mix
        time.sleep(_CALL_SECONDS)
        return self._embedder.embed(texts)


def count_embedded(settings: Settings) -> Counter[tuple[str, str]]:
    """Count how often each text was embedded, by (embedder's name, text hash)."""
    log = settings.home / _LOG
    lines = log.read_text("utf-8").splitlines() if log.exists() else []
    calls = [json.loads(line) for line in lines]
    return Counter((name, text) for name, texts in calls for text in texts)


def _engines(settings: Settings) -> Engines:
    def maker(name: str) -> Callable[[], Embedder]:
        return lambda: CountingEmbedder(name, _MAKERS[name](), settings.home / _LOG)

    embedders = EmbedderRegistry(settings.embedder, {name: maker(name) for name in _MAKERS})
    return replace(build_engines(settings), embedders=embedders)


@dg.definitions
def defs() -> dg.Definitions:
    """Return the definitions for the code server."""
    settings = load_settings()
    return build_definitions(settings, engines=_engines(settings))


def main() -> None:
    """Run the warm worker."""
    settings = load_settings()
    with (
        open_pipeline_services(settings, _engines(settings)) as services,
        open_instance() as instance,
    ):
        definitions = build_definitions(settings, services=services)
        Worker(services, instance, InProcessRunner(services, instance, definitions)).run()


if __name__ == "__main__":
    main()

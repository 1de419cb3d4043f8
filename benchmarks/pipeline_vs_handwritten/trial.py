"""One contender through all steps, each timed and checked."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from functools import partial

import click

from benchmarks.pipeline_vs_handwritten import transcripts
from benchmarks.pipeline_vs_handwritten.contender import Contender
from benchmarks.pipeline_vs_handwritten.embedder import DoomedEmbedder, HashEmbedder
from benchmarks.pipeline_vs_handwritten.searcher import ask_continuously

_KILLED = 150  # transcripts
_KILL_SHARE = 0.7  # of the chunks that a contender creates of them

Open = Callable[[str], Contender]  # at a database's URL
Stored = Counter[tuple[int, str, bool]]  # transcript, text, whether the vector is the text's


@dataclass(frozen=True, slots=True)
class Row:
    """One step of one contender. ``of_the_floor`` is set later, when the floor is known."""

    step: str
    who: str
    seconds: float
    cpu_seconds: float
    of_the_floor: float | None
    texts: int
    wrong: int
    facts: str
    load_average: float


@dataclass(frozen=True, slots=True)
class Cost:
    """Wall and CPU seconds."""

    wall: float
    cpu: float

    def __add__(self, other: Cost) -> Cost:
        return Cost(self.wall + other.wall, self.cpu + other.cpu)


@dataclass(frozen=True, slots=True)
class Environment:
    """The databases and costs of a contender.

    ``make_database`` creates an empty database by name and returns its URL; ``cpu_seconds`` returns
    the seconds so far of all processes that work for the contender.
    """

    make_database: Callable[[str], str]
    cpu_seconds: Callable[[], float]


class Trial:
    def __init__(self, open_at: Open, environment: Environment, count: int) -> None:
        self._open_at = open_at
        self._environment = environment
        self._count = count

    def rows(self) -> Iterator[Row]:
        embedder = HashEmbedder("A")
        with closing(self._open_at(self._environment.make_database("undisturbed"))) as contender:
            contender.store((n, transcripts.make_transcript(n)) for n in range(self._count))
            load = self._cost(partial(contender.update, embedder))
            index = self._cost(contender.index)
            cold_chunks = _stored(contender, "A")
            facts = f"{cold_chunks.total()} chunks"
            yield _row(contender, "cold, without index", load, embedder.texts)
            yield _row(contender, "cold", load + index, embedder.texts, _wrong(cold_chunks), facts)
            yield self._rerun(contender, "nothing changed")
            yield self._kill(cold_chunks)
            edited = transcripts.edited_numbers(self._count)
            contender.store((n, transcripts.make_edited(n)) for n in edited)
            yield self._rerun(contender, "one word changed in 1 %")
            yield self._new_model(contender)

    def _rerun(self, contender: Contender, step: str) -> Row:
        embedder = HashEmbedder("A")
        cost = self._cost(partial(contender.update, embedder))
        return _row(contender, step, cost, embedder.texts, _wrong(_stored(contender, "A")))

    def _new_model(self, contender: Contender) -> Row:
        embedder = HashEmbedder("B")
        _, question, _ = next(contender.stored("A"))
        embedders = {name: HashEmbedder(name) for name in ("A", "B")}
        with ask_continuously(contender.ask, question, embedders) as answers:
            cost = self._cost(partial(contender.change_model, embedder))
        wrong = answers.bad + _wrong(_stored(contender, "B"))
        models = " and ".join(sorted(answers.models))
        facts = f"{answers.asked} answers by {models}, slowest {answers.slowest:.2f} s"
        return _row(contender, "new model", cost, embedder.texts, wrong, facts)

    def _kill(self, all_chunks: Stored) -> Row:
        """Run again after a kill; wrong are the differences to a run that was not killed."""
        count = min(self._count, _KILLED)
        url = self._environment.make_database("killed")
        with closing(self._open_at(url)) as contender:
            contender.store((n, transcripts.make_transcript(n)) for n in range(count))
        expected = Counter({row: times for row, times in all_chunks.items() if row[0] < count})
        _run_killed(self._open_at, url, round(_KILL_SHARE * expected.total()))
        with closing(self._open_at(url)) as contender:
            facts = f"{_stored(contender, 'A').total()} chunks before"
            embedder = HashEmbedder("A")
            cost = self._cost(partial(contender.update, embedder))
            after = _stored(contender, "A")
        wrong = _wrong(after) + (after - expected).total() + (expected - after).total()
        return _row(contender, "killed between two writes", cost, embedder.texts, wrong, facts)

    def _cost(self, work: Callable[[], None]) -> Cost:
        wall, cpu = time.monotonic(), self._environment.cpu_seconds()
        work()
        return Cost(time.monotonic() - wall, self._environment.cpu_seconds() - cpu)


def _run_killed(open_at: Open, url: str, last: int) -> None:
    """Run until the process kills itself. Raises ``ClickException`` if it ends otherwise."""
    child = multiprocessing.get_context("spawn").Process(
        target=_run_doomed, args=(open_at, url, last)
    )
    child.start()
    child.join()
    if child.exitcode != -signal.SIGKILL:
        raise click.ClickException(f"was to be killed, but ended with {child.exitcode}")


def _run_doomed(open_at: Open, url: str, last: int) -> None:
    open_at(url).update(DoomedEmbedder("A", last=last))


def _stored(contender: Contender, model: str) -> Stored:
    embedder = HashEmbedder(model)
    return Counter(
        (number, text, vector is not None and bool((vector == embedder.embed([text])).all()))
        for number, text, vector in contender.stored(model)
    )


def _wrong(stored: Stored) -> int:
    return sum(times for (_, _, is_right), times in stored.items() if not is_right)


def _row(
    contender: Contender, step: str, cost: Cost, texts: int, wrong: int = 0, facts: str = ""
) -> Row:
    return Row(
        step=step,
        who=contender.name,
        seconds=round(cost.wall, 2),
        cpu_seconds=round(cost.cpu, 2),
        of_the_floor=None,
        texts=texts,
        wrong=wrong,
        facts=facts,
        load_average=round(os.getloadavg()[0], 1),
    )

"""One contender through all steps, each timed and checked.

Not here: who the contenders are and how rows are shown (``__main__.py``).
"""

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
from benchmarks.pipeline_vs_handwritten.searcher import asking

_KILLED = 150  # transcripts
_BEFORE_DEATH = 0.7  # of the texts that a contender makes of them

Open = Callable[[str], Contender]  # at a database's URL
Stored = Counter[tuple[int, str, bool]]  # transcript, text, whether the vector is the text's


@dataclass(frozen=True, slots=True)
class Row:
    """One step of one contender. ``of_the_floor`` is filled in by whoever knows the floor."""

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
    """Seconds of wall and of CPU."""

    wall: float
    cpu: float

    def __add__(self, more: Cost) -> Cost:
        return Cost(self.wall + more.wall, self.cpu + more.cpu)


@dataclass(frozen=True, slots=True)
class Surroundings:
    """Where a contender works: a database by its name (made empty) to its URL, and the CPU
    seconds so far of all who work for it."""

    make_database: Callable[[str], str]
    cpu_seconds: Callable[[], float]


class Trial:
    def __init__(self, open_at: Open, around: Surroundings, count: int) -> None:
        self._open_at = open_at
        self._around = around
        self._count = count

    def rows(self) -> Iterator[Row]:
        embedder = HashEmbedder("A")
        with closing(self._open_at(self._around.make_database("undisturbed"))) as contender:
            contender.keep((n, transcripts.transcript(n)) for n in range(self._count))
            load = self._cost(partial(contender.update, embedder))
            index = self._cost(contender.index)
            cold = _stored(contender, "A")
            facts = f"{cold.total()} chunks"
            yield _row(contender, "cold, without index", load, embedder.texts)
            yield _row(contender, "cold", load + index, embedder.texts, _wrong(cold), facts)
            yield self._again(contender, "nothing changed")
            yield self._killed(cold)
            edited = transcripts.to_edit(self._count)
            contender.keep((n, transcripts.edited(n)) for n in edited)
            yield self._again(contender, "one word changed in 1 %")
            yield self._new_model(contender)

    def _again(self, contender: Contender, step: str) -> Row:
        embedder = HashEmbedder("A")
        cost = self._cost(partial(contender.update, embedder))
        return _row(contender, step, cost, embedder.texts, _wrong(_stored(contender, "A")))

    def _new_model(self, contender: Contender) -> Row:
        embedder = HashEmbedder("B")
        _, question, _ = next(contender.stored("A"))
        askers = {name: HashEmbedder(name) for name in ("A", "B")}
        with asking(contender.ask, question, askers) as answers:
            cost = self._cost(partial(contender.change_model, embedder))
        wrong = answers.bad + _wrong(_stored(contender, "B"))
        by = " and ".join(sorted(answers.models))
        facts = f"{answers.asked} answers by {by}, slowest {answers.slowest:.2f} s"
        return _row(contender, "new model", cost, embedder.texts, wrong, facts)

    def _killed(self, undisturbed: Stored) -> Row:
        """Run again after a kill; wrong is what a run that was not killed does not have."""
        count = min(self._count, _KILLED)
        url = self._around.make_database("killed")
        with closing(self._open_at(url)) as contender:
            contender.keep((n, transcripts.transcript(n)) for n in range(count))
        whole = Counter({row: times for row, times in undisturbed.items() if row[0] < count})
        _let_die(self._open_at, url, round(_BEFORE_DEATH * whole.total()))
        with closing(self._open_at(url)) as contender:
            facts = f"{_stored(contender, 'A').total()} chunks before"
            embedder = HashEmbedder("A")
            cost = self._cost(partial(contender.update, embedder))
            after = _stored(contender, "A")
        wrong = _wrong(after) + (after - whole).total() + (whole - after).total()
        return _row(contender, "killed between two writes", cost, embedder.texts, wrong, facts)

    def _cost(self, work: Callable[[], None]) -> Cost:
        wall, cpu = time.monotonic(), self._around.cpu_seconds()
        work()
        return Cost(time.monotonic() - wall, self._around.cpu_seconds() - cpu)


def _let_die(open_at: Open, url: str, last: int) -> None:
    """Raises ``ClickException`` if it ends otherwise."""
    child = multiprocessing.get_context("spawn").Process(target=_doomed, args=(open_at, url, last))
    child.start()
    child.join()
    if child.exitcode != -signal.SIGKILL:
        raise click.ClickException(f"was to be killed, but ended with {child.exitcode}")


def _doomed(open_at: Open, url: str, last: int) -> None:
    open_at(url).update(DoomedEmbedder("A", last=last))


def _stored(contender: Contender, model: str) -> Stored:
    embedder = HashEmbedder(model)
    return Counter(
        (number, text, vector is not None and bool((vector == embedder.embed([text])).all()))
        for number, text, vector in contender.stored(model)
    )


def _wrong(stored: Stored) -> int:
    return sum(times for (_, _, right), times in stored.items() if not right)


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

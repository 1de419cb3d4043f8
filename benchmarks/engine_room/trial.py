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
from itertools import takewhile

import click

from benchmarks.engine_room import transcripts
from benchmarks.engine_room.contender import Contender
from benchmarks.engine_room.embedder import DoomedEmbedder, HashEmbedder
from benchmarks.engine_room.searcher import asking

_KILLED = 150  # transcripts
_TEXTS_BEFORE_DEATH = 10  # a transcript, of about 14

Open = Callable[[str], Contender]  # at a database's URL


@dataclass(frozen=True, slots=True)
class Row:
    """One step of one contender; ``of_the_floor`` is filled in by whoever knows it."""

    step: str
    who: str
    seconds: float
    of_the_floor: float | None
    texts: int
    wrong: int
    facts: str
    load_average: float


class Trial:
    """``make_database`` makes an empty one by its name and tells its URL."""

    def __init__(self, open_at: Open, make_database: Callable[[str], str], count: int) -> None:
        self._open_at = open_at
        self._make_database = make_database
        self._count = count

    def rows(self) -> Iterator[Row]:
        embedder = HashEmbedder("A")
        with closing(self._open_at(self._make_database("undisturbed"))) as contender:
            contender.keep((n, transcripts.transcript(n)) for n in range(self._count))
            load = _seconds(partial(contender.update, embedder))
            yield _row(contender, "cold, without index", load, embedder.texts)
            index = _seconds(contender.index)
            chunks = f"{sum(1 for _ in contender.stored('A'))} chunks"
            yield _row(contender, "cold", load + index, embedder.texts, facts=chunks)
            yield self._again(contender, "nothing changed")
            yield self._killed(contender)
            edited = transcripts.to_edit(self._count)
            contender.keep((n, transcripts.edited(n)) for n in edited)
            facts = f"{len(edited)} transcripts"
            yield self._again(contender, "one word changed in 1 %", facts)
            yield self._new_model(contender)

    def _again(self, contender: Contender, step: str, facts: str = "") -> Row:
        embedder = HashEmbedder("A")
        seconds = _seconds(partial(contender.update, embedder))
        return _row(contender, step, seconds, embedder.texts, facts=facts)

    def _new_model(self, contender: Contender) -> Row:
        embedder = HashEmbedder("B")
        _, question, _ = next(contender.stored("A"))
        askers = {name: HashEmbedder(name) for name in ("A", "B")}
        with asking(contender.ask, question, askers) as answers:
            seconds = _seconds(partial(contender.change_model, embedder))
        facts = (
            f"{answers.asked} answers by {' and '.join(sorted(answers.models))}:"
            f" {answers.mixed} mixed, {answers.empty} empty, {answers.failed} failed,"
            f" slowest {answers.slowest:.2f} s"
        )
        return _row(contender, "new model", seconds, embedder.texts, answers.bad, facts)

    def _killed(self, undisturbed: Contender) -> Row:
        """Rows that are wrong after a run that was killed and a run that was not."""
        count = min(self._count, _KILLED)
        url = self._make_database("killed")
        with closing(self._open_at(url)) as contender:
            contender.keep((n, transcripts.transcript(n)) for n in range(count))
        _let_die(self._open_at, url, count * _TEXTS_BEFORE_DEATH)
        with closing(self._open_at(url)) as contender:
            before = _rows(contender, count)
            embedder = HashEmbedder("A")
            seconds = _seconds(partial(contender.update, embedder))
            after, whole = _rows(contender, count), _rows(undisturbed, count)
        wrong = (after - whole).total() + (whole - after).total()
        facts = f"{count} transcripts, {before.total()} chunks were whole at the kill"
        return _row(undisturbed, "killed between two writes", seconds, embedder.texts, wrong, facts)


def _let_die(open_at: Open, url: str, last: int) -> None:
    """Raises ``ClickException`` if it ends otherwise."""
    child = multiprocessing.get_context("spawn").Process(target=_doomed, args=(open_at, url, last))
    child.start()
    child.join()
    if child.exitcode != -signal.SIGKILL:
        raise click.ClickException(f"was to be killed, but ended with {child.exitcode}")


def _doomed(open_at: Open, url: str, last: int) -> None:
    open_at(url).update(DoomedEmbedder("A", last=last))


def _rows(contender: Contender, count: int) -> Counter[tuple[int, str, bool]]:
    """Of the first transcripts: each chunk, and whether its vector is that of its text."""
    stored = takewhile(lambda row: row[0] < count, contender.stored("A"))
    embedder = HashEmbedder("A")
    return Counter(
        (number, text, bool((vector == embedder.embed([text])[0]).all()))
        for number, text, vector in stored
    )


def _seconds(work: Callable[[], None]) -> float:
    start = time.monotonic()
    work()
    return time.monotonic() - start


def _row(
    contender: Contender, step: str, seconds: float, texts: int, wrong: int = 0, facts: str = ""
) -> Row:
    load = round(os.getloadavg()[0], 1)
    return Row(step, contender.name, round(seconds, 2), None, texts, wrong, facts, load)

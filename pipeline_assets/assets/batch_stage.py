"""Results of several recordings with one claim and one transaction, for stages whose work is
small beside what it takes to write it down.

All or none: when any of them fails, all are made alone, one after the other, so that each failure
is that of its own recording; so are those that another worker is at, and those that several died
over, since one may be what kills them, and patient ones, each of which asks for answers of its
own. Not here: what a stage makes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

from pipeline_assets.assets.stage import Made, Outcome, Task, Work, caught, claimed, errand_for
from playhead.core.call_context import call_context
from playhead.core.errors import Parked, PlayheadError, WorkerStopping
from playhead.postgres.pipeline.stage_results import Claim
from playhead.services.context import EmbeddingTarget

Claimed = Sequence[tuple[Task, Claim]]
_Numbered = tuple[int, Task]


@dataclass(frozen=True, slots=True)
class Together:
    """A stage. ``lanes_of`` groups a recording's lanes by the result they share, that of the
    active set first; ``task_of`` raises ``MissingUpstream``; ``make`` is given tasks of one
    organisation and for the same sets."""

    detail: str
    lanes_of: Callable[[Work], Sequence[Sequence[EmbeddingTarget]]]
    task_of: Callable[[Work, Sequence[EmbeddingTarget]], Task]
    make: Callable[[Claimed], list[Outcome]]

    def __call__(self, works: Sequence[Work]) -> list[Made]:
        """For the active set. What fails for a set that nobody searches yet is kept in the ledger
        and does not stop the recording."""
        groups = [caught(self.lanes_of, work) for work in works]
        made = self._all(
            [
                (work, found if isinstance(found, PlayheadError) else found[0])
                for work, found in zip(works, groups, strict=True)
            ]
        )
        others = [
            (work, lanes)
            for work, found, one in zip(works, groups, made, strict=True)
            if isinstance(one, Outcome) and not isinstance(found, PlayheadError)
            for lanes in found[1:]
        ]
        for (work, lanes), one in zip(others, self._all(others), strict=True):
            if isinstance(one, PlayheadError):
                names = ", ".join(f"set {lane.embedding_set.id}" for lane in lanes)
                work.turn.log(f"{work.recording.id}, {names}: {one} {one.remedy}")
        return made

    def _all(
        self, wanted: Sequence[tuple[Work, Sequence[EmbeddingTarget] | PlayheadError]]
    ) -> list[Made]:
        tasks = [
            lanes if isinstance(lanes, PlayheadError) else caught(self.task_of, work, lanes)
            for work, lanes in wanted
        ]
        made: dict[int, Made] = {}
        ready = [(number, task) for number, task in enumerate(tasks) if isinstance(task, Task)]
        for _, alike in groupby(sorted(ready, key=_place), key=lambda one: _place(one)[:2]):
            made |= self._alike(list(alike))
        return [made[i] if isinstance(task, Task) else task for i, task in enumerate(tasks)]

    def _alike(self, tasks: Sequence[_Numbered]) -> dict[int, Made]:
        made: dict[int, Made] = {
            number: task.found(standing) for number, task in tasks if (standing := task.standing)
        }
        left = [(number, task) for number, task in tasks if number not in made]
        hasty = [(number, task) for number, task in left if not task.work.patient]
        if len(hasty) > 1:
            made |= self._at_once(hasty)
        for number, task in left:
            if number not in made:
                made[number] = caught(self._alone, task)
        return made

    def _at_once(self, tasks: Sequence[_Numbered]) -> Mapping[int, Outcome]:
        """Of those that are free; none when one of them fails."""
        turn, ledger = tasks[0][1].work.turn, tasks[0][1].work.services.pipeline.results
        wanted = [task.wanted for _, task in tasks]
        try:
            with ledger.claim_free(wanted, run_id=turn.run_id, detail=self.detail) as claims:
                mine = [(*one, claim) for one, claim in zip(tasks, claims, strict=True) if claim]
                open_ones = [one for one in mine if not one[2].done]
                made = self._made([one[1:] for one in open_ones]) if open_ones else []
        except WorkerStopping:
            raise
        except Exception:  # whoever it is of meets it again, alone, and there it is told
            return {}
        found = {number: task.found(claim.done) for number, task, claim in mine if claim.done}
        return found | {one[0]: outcome for one, outcome in zip(open_ones, made, strict=True)}

    def _made(self, claimed: Claimed) -> list[Outcome]:
        try:
            with call_context(errand_for([task for task, _ in claimed])):
                return self.make(claimed)
        except Parked:  # one alone may fit where all together do not, and says for how long if not
            claims = [claim for _, claim in claimed]
            claimed[0][0].work.services.pipeline.results.give_back(claims)
            raise

    def _alone(self, task: Task) -> Outcome:
        with claimed(task, detail=self.detail) as claim:
            if claim.done:
                return task.found(claim.done)
            [outcome] = self.make([(task, claim)])
        return outcome


def _place(one: _Numbered) -> tuple[str, tuple[int, ...], str]:
    """In one order, so that two workers with the same recordings never wait for each other."""
    _, task = one
    return task.work.recording.org_id, task.sets, task.work.recording.id

"""Versions of a transcript: list them, and pin one.

A correction is a stage result made by a person from the version before it. An engine never replaces
a pinned version until it is unpinned. Names of speakers are stored beside the
transcript, so naming one rebuilds nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from playhead.core.errors import ConfigurationError, NotFound
from playhead.core.records import Engine, Recipe, Recording, Transcript
from playhead.postgres.database import Database, Organisation, queries
from playhead.postgres.pipeline.content import Content, transcript_hash
from playhead.postgres.pipeline.stage_results import Result, ResultKey, StageResults

_SQL = queries("transcript_versions")
_CODE_VERSION = "1"

#: The engine and the run of versions that a person created.
PERSON = "person"
MANUAL_RUN_ID = "by hand"


@dataclass(frozen=True, slots=True)
class Version:
    """A transcript of a recording.

    ``number`` counts from 1, oldest first; ``model`` is the author's name if ``engine`` is a
    person.
    """

    number: int
    id: int
    engine: str
    model: str
    finished_at: datetime
    current: bool
    pinned_by: str | None


class NothingToCorrect(ConfigurationError):
    """There is no transcript yet, or the correction changes nothing."""


class TranscriptVersions:
    """The versions of transcripts, and the names of their speakers."""

    def __init__(self, database: Database, results: StageResults, content: Content) -> None:
        self._database = database
        self._results = results
        self._content = content

    def all(self, recording: Recording) -> list[Version]:
        rows = self._people(recording).rows(_SQL["versions"], **_key(recording))
        return [Version(**row) for row in rows]

    def get(self, recording: Recording, number: int) -> Version:
        """Return a version. Raises ``NotFound``."""
        for version in self.all(recording):
            if version.number == number:
                return version
        raise NotFound(
            f"There is no version {number} of {recording.title}.",
            remedy=f"`playhead versions {recording.partition_key}` lists them.",
        )

    def current(self, recording: Recording) -> Transcript:
        """Return the current transcript. Raises ``NothingToCorrect`` if there is none."""
        return self._content.transcript(recording, self._current_result(recording).id)

    def correct(self, recording: Recording, corrected: Transcript, author: str) -> Version:
        """Store a corrected transcript as current version. Raises ``NothingToCorrect``."""
        base = self._current_result(recording)
        output_hash = transcript_hash(corrected)
        if output_hash == base.output_hash:
            raise NothingToCorrect(
                "The correction changes nothing.",
                remedy="Nothing to do: the current version already has this text.",
            )
        inputs = {"raw_media": base.inputs["raw_media"], "base": base.output_hash} | {
            "corrected": output_hash
        }
        recipe = Recipe("transcript", _CODE_VERSION, Engine(PERSON, author))
        key = ResultKey(recording, recipe, inputs)
        with self._results.claim(key, run_id=MANUAL_RUN_ID, detail="correcting") as claim:
            if claim.done:
                self._results.pin(recording, claim.done.id, author)
            else:
                with self._results.finish(claim, output_hash=output_hash, pinned_by=author) as (
                    connection,
                    result,
                ):
                    self._content.put_transcript(connection, result, recording, corrected)
        return next(version for version in self.all(recording) if version.current)

    def restore(self, recording: Recording, number: int, author: str) -> Version:
        """Make an earlier version current. Raises ``NotFound``."""
        self._results.pin(recording, self.get(recording, number).id, author)
        return self.get(recording, number)

    def unpin(self, recording: Recording) -> None:
        """Let engines replace the current version again. Raises ``NothingToCorrect``."""
        self._results.pin(recording, self._current_result(recording).id, None)

    def name_speaker(self, recording: Recording, label: str, name: str) -> None:
        """Store a speaker's name. Raises ``NotFound`` for an unknown label."""
        labels = self.labels(recording)
        if label not in labels:
            raise NotFound(
                f"No speaker {label!r} in this recording, only: {', '.join(labels) or 'none'}.",
                remedy=f"`playhead speakers {recording.partition_key}` lists them.",
            )
        self._people(recording).run(_SQL["name_speaker"], **_key(recording), label=label, name=name)

    def labels(self, recording: Recording) -> Sequence[str]:
        """Return the speaker labels of the transcript."""
        segments = self.current(recording).segments
        return sorted({segment.speaker for segment in segments if segment.speaker is not None})

    def speaker_names(self, recording: Recording) -> dict[str, str]:
        """Return the names that people gave, by label."""
        rows = self._people(recording).rows(_SQL["speaker_names"], **_key(recording))
        return {row["label"]: row["name"] for row in rows}

    def _people(self, recording: Recording) -> Organisation:
        return self._database.as_role(recording.org_id, "playhead_app")

    def _current_result(self, recording: Recording) -> Result:
        current_results = self._results.current_results([recording])[recording.id]
        if result := current_results.get(("transcript", 0)):
            return result
        raise NothingToCorrect(
            f"{recording.title} has no transcript yet.",
            remedy=f"playhead process {recording.partition_key}",
        )


def _key(recording: Recording) -> dict[str, str]:
    return {"org_id": recording.org_id, "recording_id": recording.id}

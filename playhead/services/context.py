"""The service container: all stores of the database and the media store, and the engines.

Opened once per command, run or tick, and by the warm worker once for all its runs. Engines are
shared between the runs of a process, so that model weights are loaded once.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields
from threading import Event

from playhead.core.errors import ModelUnavailable, WorkerStopping
from playhead.core.protocols.embedder import Embedder
from playhead.core.settings import Settings
from playhead.engines.registry import EmbedderRegistry, Engines
from playhead.inbox.protocol import Inbox
from playhead.media.store import MediaStore
from playhead.postgres.access.members import Members
from playhead.postgres.access.tokens import Tokens
from playhead.postgres.coordination.liveness import ProcessLiveness
from playhead.postgres.database import Database
from playhead.postgres.database_urls import app_url
from playhead.postgres.deletion.rows import RecordingDeletion
from playhead.postgres.pipeline.content import Content
from playhead.postgres.pipeline.plans import Plans
from playhead.postgres.pipeline.recordings import Recordings
from playhead.postgres.pipeline.result_audit import ResultAudit
from playhead.postgres.pipeline.stage_results import StageResults
from playhead.postgres.pipeline.transcript_pieces import TranscriptPieces
from playhead.postgres.pipeline.transcript_versions import TranscriptVersions
from playhead.postgres.provider_use.batch_queue import BatchQueue
from playhead.postgres.provider_use.circuit_breakers import CircuitBreakers
from playhead.postgres.provider_use.quarantine import Quarantine
from playhead.postgres.provider_use.spend import Spend
from playhead.postgres.search.analysis_tables import AnalysisTables
from playhead.postgres.search.chunk_search import ChunkSearch
from playhead.postgres.search.conversations import Conversations
from playhead.postgres.search.embedding_sets import EmbeddingSet, EmbeddingSets
from playhead.postgres.search.excerpts import Excerpts
from playhead.postgres.search.vector_indexes import VectorIndexes
from playhead.services import stores
from playhead.services.ingest import Ingest


@dataclass(frozen=True, slots=True)
class Files:
    """Media files of recordings, and the inbox that new ones come from."""

    media: MediaStore
    inbox: Inbox


@dataclass(frozen=True, slots=True)
class PipelineTables:
    """Tables of recordings and of the results of their stages."""

    recordings: Recordings
    results: StageResults
    content: Content
    pieces: TranscriptPieces
    versions: TranscriptVersions
    plans: Plans
    audit: ResultAudit


@dataclass(frozen=True, slots=True)
class SearchTables:
    """Tables that search, answers and notebooks read."""

    chunks: ChunkSearch
    excerpts: Excerpts
    embedding_sets: EmbeddingSets
    vector_indexes: VectorIndexes
    tables: AnalysisTables
    conversations: Conversations


@dataclass(frozen=True, slots=True)
class ProviderTables:
    """State about providers that all workers share."""

    spend: Spend
    circuit_breakers: CircuitBreakers
    quarantine: Quarantine
    batches: BatchQueue


@dataclass(frozen=True, slots=True)
class AccessTables:
    """Members of organisations and their API tokens."""

    members: Members
    tokens: Tokens


@dataclass(frozen=True, slots=True)
class Services:
    """Everything that is stored, in small groups. Functions take the group or the part they use."""

    settings: Settings
    files: Files
    pipeline: PipelineTables
    search: SearchTables
    provider_use: ProviderTables
    access: AccessTables
    liveness: ProcessLiveness
    deletion: RecordingDeletion

    @property
    def ingest(self) -> Ingest:
        return Ingest(
            self.pipeline.recordings,
            self.files.media,
            titles_in_partition_keys=self.settings.titles_in_partition_keys,
        )

    def require_organisation(self, org_id: str | None) -> str:
        """Return ``org_id``, or the organisation of the settings if it is None.

        The organisation of the settings need not exist yet. Raises ``NotFound`` if another one does
        not exist.
        """
        if org_id is None:
            return self.settings.org
        self.access.members.require_organisation(org_id)
        return org_id


@dataclass(frozen=True, slots=True)
class EmbeddingTarget:
    """An embedding set that recordings are embedded for."""

    embedding_set: EmbeddingSet
    embedders: EmbedderRegistry

    @property
    def active(self) -> bool:
        return self.embedding_set.state == "active"

    @property
    def available(self) -> bool:
        """Return True if the set's model is available here."""
        try:
            self.embedders.of(self.embedding_set)
        except ModelUnavailable:
            return False
        return True

    @property
    def embedder(self) -> Embedder:
        """Return the embedder of the set's model.

        Raises ``ModelUnavailable``.
        """
        return self.embedders.of(self.embedding_set)


@dataclass(frozen=True, slots=True)
class PipelineServices(Services):
    """The services with the engines.

    ``stopping`` is set to make this worker release its current work.
    """

    engines: Engines
    stopping: Event

    def embedding_targets(self) -> list[EmbeddingTarget]:
        """Return the sets that recordings are embedded for, the active one first.

        Creates the very first set, with the embedder that the settings name. A set that is not
        active and whose model is unavailable is left out; `playhead models status` shows it.
        """
        live = self.search.embedding_sets.live()
        if not any(embedding_set.state == "active" for embedding_set in live):
            embedder = self.engines.embedders.named(self.engines.embedders.default)
            self.search.embedding_sets.add(
                self.engines.embedders.default, embedder.engine, embedder.dimensions
            )
            live = self.search.embedding_sets.live()
        targets = [EmbeddingTarget(embedding_set, self.engines.embedders) for embedding_set in live]
        return [target for target in targets if target.active or target.available]

    def raise_if_stopping(self) -> None:
        """Raise ``WorkerStopping`` if this worker should stop.

        Called between units of work.
        """
        if self.stopping.is_set():
            raise WorkerStopping(
                "This worker was asked to stop.", remedy="To continue: playhead process"
            )


@contextmanager
def open_services(settings: Settings) -> Iterator[Services]:
    """Open the stores that ``settings`` name.

    Starts the embedded server and migrates the database if necessary. Raises
    ``DatabaseUnavailable`` or ``DatabaseUnsuitable``.
    """
    database = Database(app_url(settings))
    results, content, liveness = (
        StageResults(database),
        Content(database),
        ProcessLiveness(database),
    )
    try:
        yield Services(
            settings=settings,
            files=Files(
                media=stores.create_media_store(settings), inbox=stores.create_inbox(settings)
            ),
            pipeline=PipelineTables(
                recordings=Recordings(database),
                results=results,
                content=content,
                pieces=TranscriptPieces(database),
                versions=TranscriptVersions(database, results, content),
                plans=Plans(database),
                audit=ResultAudit(database),
            ),
            search=SearchTables(
                chunks=ChunkSearch(database),
                excerpts=Excerpts(database),
                embedding_sets=EmbeddingSets(database),
                vector_indexes=VectorIndexes(database),
                tables=AnalysisTables(database),
                conversations=Conversations(database),
            ),
            provider_use=ProviderTables(
                spend=Spend(database),
                circuit_breakers=CircuitBreakers(database),
                quarantine=Quarantine(database),
                batches=BatchQueue(database),
            ),
            access=AccessTables(members=Members(database), tokens=Tokens(database)),
            liveness=liveness,
            deletion=RecordingDeletion(database),
        )
    finally:
        liveness.close()
        results.close()
        database.close()


@contextmanager
def open_pipeline_services(
    settings: Settings, engines: Engines, stopping: Event | None = None
) -> Iterator[PipelineServices]:
    """Open the services of ``open_services`` together with the engines.

    ``stopping`` is set to make this worker release its current work. Raises the errors of
    ``open_services``.
    """
    with open_services(settings) as services:
        opened = {part.name: getattr(services, part.name) for part in fields(services)}
        yield PipelineServices(**opened, engines=engines, stopping=stopping or Event())

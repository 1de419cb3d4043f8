"""The ``chunks`` asset: transcript and document split into chunks that fit the embedding model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from threading import Lock

import dagster as dg

from pipeline_assets.assets import checks
from pipeline_assets.assets.batch_stage import BatchStage, ClaimedTasks
from pipeline_assets.assets.stage import (
    Metadata,
    RecordingContext,
    StageResult,
    StageTask,
    stage_spec,
)
from playhead.chunking.chunker import ChunkingConfig, Strategy, chunk
from playhead.chunking.document_languages import document_languages
from playhead.chunking.sentence_spans import attach_sentences, document_quotes, transcript_sentences
from playhead.core.protocols.embedder import Embedder
from playhead.core.records import (
    Chunk,
    ChunkSpan,
    Document,
    Engine,
    Kind,
    Recipe,
    Source,
)
from playhead.core.sentences import LanguageRuns
from playhead.core.settings import Settings
from playhead.core.timecode import format_timecode
from playhead.postgres.pipeline.content import ChunkWrite, chunks_hash
from playhead.services.context import EmbeddingTarget
from playhead.transcripts.timeline import Timeline
from playhead.transcripts.word_positions import TimedText

CODE_VERSION = "3"
_ROWS_SHOWN = 50

_TextKey = tuple[str, Source]  # recording id and source

#: Chunking holds the GIL: one thread chunks while the other waits for the database.
_CHUNKING_LOCK = Lock()

SPEC = stage_spec(
    "chunks",
    after=("transcript", "document"),
    code_version=CODE_VERSION,
    kinds={"python", "postgres"},
    description="Chunks that fit the embedding model's window, with exact characters and seconds. "
    "Unchanged chunks keep their ids.",
)


def recipe(settings: Settings, kind: Kind, embedder: Embedder) -> Recipe:
    """Return the chunking recipe for a kind of recording and an embedding model.

    The window and the tokenizer are those of the embedding model: embedding sets whose models count
    tokens alike share chunks, others have their own.
    """
    parameters = {
        str(source): asdict(config) for source, config in _configs(settings, kind, embedder).items()
    }
    return Recipe(
        "chunks", CODE_VERSION, Engine("chunker", f"tokens of {embedder.tokens}", parameters)
    )


def _group_by_recipe(work: RecordingContext) -> list[list[EmbeddingTarget]]:
    """Group the embedding targets by chunking recipe; targets in a group share chunks."""
    groups: dict[str, list[EmbeddingTarget]] = {}
    for target in work.targets:
        groups.setdefault(_recipe_for(work, target).hash, []).append(target)
    return list(groups.values())


def _recipe_for(work: RecordingContext, target: EmbeddingTarget) -> Recipe:
    return recipe(work.services.settings, work.recording.kind, target.embedder)


def _task(work: RecordingContext, targets: Sequence[EmbeddingTarget]) -> StageTask:
    heard, written = work.upstream("transcript"), work.upstream("document")
    inputs = {"transcript": heard.output_hash, "document": written.output_hash}
    return StageTask(work, _recipe_for(work, targets[0]), inputs, targets)


def _make(claimed: ClaimedTasks) -> list[StageResult]:
    stage_results, content = (
        claimed[0][0].context.services.pipeline.results,
        claimed[0][0].context.services.pipeline.content,
    )
    tasks = [task for task, _ in claimed]
    before = content.chunk_spans((task.context.recording, task.recipe.hash) for task in tasks)
    read = [_read(task) for task in tasks]
    with _CHUNKING_LOCK:
        cuttings = [_chunk(task, *source, before) for task, source in zip(tasks, read, strict=True)]
    hashes = [chunks_hash(cutting.made) for cutting in cuttings]
    with stage_results.finish_all([claim for _, claim in claimed], hashes) as (connection, results):
        stage_results.supersede(connection, results)
        content.put_chunks(
            connection,
            [
                ChunkWrite(
                    task.context.recording, result, chunking.made, chunking.transcript.language
                )
                for task, result, chunking in zip(tasks, results, cuttings, strict=True)
            ],
        )
    return [
        task.created(result, _describe(chunking.made), chunking.checks)
        for task, result, chunking in zip(tasks, results, cuttings, strict=True)
    ]


CHUNKS = BatchStage("chunking", _group_by_recipe, _task, _make)


@dataclass(frozen=True, slots=True)
class _ChunkedTexts:
    """The texts that were chunked, and their chunks."""

    transcript: TimedText
    document: Document
    made: list[Chunk]

    @property
    def checks(self) -> tuple[checks.Check, ...]:
        texts: dict[Source, str] = {
            "transcript": self.transcript.text,
            "document": self.document.content,
        }
        return checks.check_chunks(self.made, texts, self.transcript.duration_seconds)


def _configs(settings: Settings, kind: Kind, embedder: Embedder) -> dict[Source, ChunkingConfig]:
    """Return the chunking configuration of each source.

    Sizes are those set for the kind of recording, capped at the model's window.
    """
    chosen = settings.chunking_for(kind)
    window = embedder.window_tokens

    def config(strategy: Strategy) -> ChunkingConfig:
        return ChunkingConfig(strategy, chosen.size, chosen.overlap, chosen.minimum).capped(window)

    return {"transcript": config(chosen.transcript), "document": config(chosen.document)}


def _read(task: StageTask) -> tuple[TimedText, Document]:
    content, upstream, recording = (
        task.context.services.pipeline.content,
        task.context.upstream,
        task.context.recording,
    )
    heard = content.timed_text(recording, upstream("transcript").id)
    return heard, content.document(recording, upstream("document").id)


def _chunk(
    task: StageTask,
    transcript: TimedText,
    document: Document,
    before: Mapping[_TextKey, Sequence[ChunkSpan]],
) -> _ChunkedTexts:
    recording, embedder = task.context.recording, task.targets[0].embedder
    configs = _configs(task.context.services.settings, recording.kind, embedder)

    def cut(
        source: Source, text: str, timeline: Timeline, language_runs: LanguageRuns
    ) -> tuple[Chunk, ...]:
        return chunk(
            source,
            text,
            config=configs[source],
            tokenizer=embedder.tokenizer,
            language_runs=language_runs,
            timeline=timeline,
            before=before.get((recording.id, source), ()),
        )

    heard = cut("transcript", transcript.text, transcript.timeline, transcript.language_runs)
    own = document.content[: document.metadata.get("quotes_from")]  # the rest quotes the transcript
    written = cut(
        "document", own, Timeline.of(document.spans), document_languages(document, transcript)
    )
    said = attach_sentences(heard, transcript_sentences(transcript))
    made = [*said, *attach_sentences(written, document_quotes(document))]
    return _ChunkedTexts(transcript, document, made)


def _describe(made: list[Chunk]) -> Metadata:
    shown = [
        dg.TableRecord(
            {
                "source": passage.source,
                "at": format_timecode(passage.start_seconds or 0.0),
                "tokens": passage.token_count,
                "text": passage.text[:160],
            }
        )
        for passage in made[:_ROWS_SHOWN]
    ]
    return {
        "chunks": len(made),
        "tokens": sum(passage.token_count for passage in made),
        "passages": dg.MetadataValue.table(shown) if shown else "none",
    }

"""The ``chunks`` asset: transcript and document split into chunks that fit the embedding model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
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
    transcript, document = work.upstream("transcript"), work.upstream("document")
    inputs = {"transcript": transcript.output_hash, "document": document.output_hash}
    return StageTask(work, _recipe_for(work, targets[0]), inputs, targets)


def _make(lock: Lock, claimed: ClaimedTasks) -> list[StageResult]:
    stage_results, content = (
        claimed[0][0].context.services.pipeline.results,
        claimed[0][0].context.services.pipeline.content,
    )
    tasks = [task for task, _ in claimed]
    before = content.chunk_spans((task.context.recording, task.recipe.hash) for task in tasks)
    sources = [_read(task) for task in tasks]
    with lock:
        chunked_texts = [
            _chunk(task, *source, before) for task, source in zip(tasks, sources, strict=True)
        ]
    hashes = [chunks_hash(chunked.chunks) for chunked in chunked_texts]
    with stage_results.finish_all([claim for _, claim in claimed], hashes) as (connection, results):
        stage_results.supersede(connection, results)
        content.put_chunks(
            connection,
            [
                ChunkWrite(
                    task.context.recording, result, chunked.chunks, chunked.transcript.language
                )
                for task, result, chunked in zip(tasks, results, chunked_texts, strict=True)
            ],
        )
    return [
        task.created(result, _describe(chunked.chunks), chunked.checks)
        for task, result, chunked in zip(tasks, results, chunked_texts, strict=True)
    ]


def chunk_stage(lock: Lock) -> BatchStage:
    """Return the stage. ``lock`` is held while texts are chunked, but not for database calls."""
    return BatchStage("chunking", _group_by_recipe, _task, partial(_make, lock))


@dataclass(frozen=True, slots=True)
class _ChunkedTexts:
    """The texts that were chunked, and their chunks."""

    transcript: TimedText
    document: Document
    chunks: list[Chunk]

    @property
    def checks(self) -> tuple[checks.Check, ...]:
        texts: dict[Source, str] = {
            "transcript": self.transcript.text,
            "document": self.document.content,
        }
        return checks.check_chunks(self.chunks, texts, self.transcript.duration_seconds)


def _configs(settings: Settings, kind: Kind, embedder: Embedder) -> dict[Source, ChunkingConfig]:
    """Return the chunking configuration of each source.

    Sizes are those set for the kind of recording, capped at the model's window.
    """
    setting = settings.chunking_for(kind)
    window = embedder.window_tokens

    def config(strategy: Strategy) -> ChunkingConfig:
        return ChunkingConfig(strategy, setting.size, setting.overlap, setting.minimum).capped(
            window
        )

    return {"transcript": config(setting.transcript), "document": config(setting.document)}


def _read(task: StageTask) -> tuple[TimedText, Document]:
    content, upstream, recording = (
        task.context.services.pipeline.content,
        task.context.upstream,
        task.context.recording,
    )
    transcript = content.timed_text(recording, upstream("transcript").id)
    return transcript, content.document(recording, upstream("document").id)


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

    transcript_chunks = cut(
        "transcript", transcript.text, transcript.timeline, transcript.language_runs
    )
    text = document.content[
        : document.metadata.get("quotes_from")
    ]  # the rest quotes the transcript
    document_chunks = cut(
        "document", text, Timeline.of(document.spans), document_languages(document, transcript)
    )
    with_sentences = attach_sentences(transcript_chunks, transcript_sentences(transcript))
    chunks = [*with_sentences, *attach_sentences(document_chunks, document_quotes(document))]
    return _ChunkedTexts(transcript, document, chunks)


def _describe(chunks: list[Chunk]) -> Metadata:
    rows = [
        dg.TableRecord(
            {
                "source": chunk.source,
                "at": format_timecode(chunk.start_seconds or 0.0),
                "tokens": chunk.token_count,
                "text": chunk.text[:160],
            }
        )
        for chunk in chunks[:_ROWS_SHOWN]
    ]
    return {
        "chunks": len(chunks),
        "tokens": sum(chunk.token_count for chunk in chunks),
        "passages": dg.MetadataValue.table(rows) if rows else "none",
    }

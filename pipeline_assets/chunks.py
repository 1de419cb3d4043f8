"""``chunks``: transcript and document cut into passages that fit the embedding model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from functools import cached_property, partial

import dagster as dg

from pipeline_assets import checks
from pipeline_assets.stages import Metadata, Outcome, Work, claimed, in_every_lane, stage_spec
from pipeline_assets.transforms.chunking import ChunkingConfig, Strategy, chunk
from pipeline_assets.transforms.phrases import spoken_phrases, with_phrases, written_phrases
from resources.clock import clock
from resources.embedding.protocol import Embedder
from resources.postgres.content import chunks_hash
from resources.records import (
    Chunk,
    Document,
    Engine,
    Kind,
    Recipe,
    Source,
    Transcript,
    Usage,
)
from resources.settings import Settings
from resources.transcripts.timing import transcript_spans
from resources.workbench import Lane

CODE_VERSION = "2"
_ROWS_SHOWN = 50

SPEC = stage_spec(
    "chunks",
    after=("transcript", "document"),
    code_version=CODE_VERSION,
    kinds={"python", "postgres"},
    description="Passages of at most the embedding model's window, with exact characters and "
    "seconds. What did not change keeps its id.",
)


def recipe(settings: Settings, kind: Kind, embedder: Embedder) -> Recipe:
    """The window and the tokens are the embedding model's: sets whose models count alike share
    chunks, others have their own."""
    parameters = {
        str(source): asdict(config) for source, config in _configs(settings, kind, embedder).items()
    }
    return Recipe(
        "chunks", CODE_VERSION, Engine("chunker", f"tokens of {embedder.tokens}", parameters)
    )


def make_chunks(work: Work) -> Outcome:
    return in_every_lane(work, _by_recipe(work), partial(_make, work, _Sources(work)))


def _by_recipe(work: Work) -> list[list[Lane]]:
    """Lanes whose chunks are the same share them."""
    groups: dict[str, list[Lane]] = {}
    for lane in work.lanes:
        groups.setdefault(_recipe(work, lane).hash, []).append(lane)
    return list(groups.values())


def _recipe(work: Work, lane: Lane) -> Recipe:
    return recipe(work.bench.settings, work.recording.kind, lane.embedder)


class _Sources:
    """What is cut, read when it is needed and once for all lanes."""

    def __init__(self, work: Work) -> None:
        self._content = work.bench.content
        self.heard = work.upstream("transcript")
        self.written = work.upstream("document")

    @cached_property
    def transcript(self) -> Transcript:
        return self._content.transcript(self.heard.id)

    @cached_property
    def document(self) -> Document:
        return self._content.document(self.written.id)


def _make(work: Work, sources: _Sources, lanes: Sequence[Lane]) -> Outcome:
    bench, recording = work.bench, work.recording
    cutting = _recipe(work, lanes[0])
    inputs = {"transcript": sources.heard.output_hash, "document": sources.written.output_hash}
    with claimed(work, cutting, inputs, detail="cutting", lanes=lanes) as claim:
        if claim.done:
            return work.found(claim, claim.done)
        configs = _configs(bench.settings, recording.kind, lanes[0].embedder)
        made = _cut(lanes[0].embedder, configs, sources)
        with bench.ledger.finish(claim, output_hash=chunks_hash(made), usage=Usage()) as (
            connection,
            result,
        ):
            bench.ledger.supersede(connection, claim)
            bench.content.put_chunks(
                connection,
                result,
                recording,
                cutting.hash,
                made,
                language=sources.transcript.language,
            )
    texts: dict[Source, str] = {
        "transcript": sources.transcript.text,
        "document": sources.document.content,
    }
    seconds = sources.transcript.duration_seconds
    return work.made(claim, result, _describe(made), checks.of_chunks(made, texts, seconds))


def _configs(settings: Settings, kind: Kind, embedder: Embedder) -> dict[Source, ChunkingConfig]:
    """How each source is cut: as set for the recording's kind, within the model's window."""
    chosen = settings.chunking_of(kind)
    window = embedder.window_tokens

    def config(strategy: Strategy) -> ChunkingConfig:
        return ChunkingConfig(strategy, chosen.size, chosen.overlap, chosen.minimum).capped(window)

    return {"transcript": config(chosen.transcript), "document": config(chosen.document)}


def _cut(
    embedder: Embedder, configs: dict[Source, ChunkingConfig], sources: _Sources
) -> list[Chunk]:
    transcript, document = sources.transcript, sources.document
    cut = partial(chunk, tokenizer=embedder.tokenizer, language=transcript.language)
    spans = transcript_spans(transcript)
    heard = cut("transcript", transcript.text, config=configs["transcript"], spans=spans)
    own = document.content[: document.metadata.get("quotes_from")]  # the rest is heard already
    written = cut("document", own, config=configs["document"], spans=document.spans)
    spoken, quoted = spoken_phrases(transcript, spans), written_phrases(document)
    return [
        *(with_phrases(passage, spoken) for passage in heard),
        *(with_phrases(passage, quoted) for passage in written),
    ]


def _describe(made: list[Chunk]) -> Metadata:
    shown = [
        dg.TableRecord(
            {
                "source": passage.source,
                "at": clock(passage.start_seconds or 0.0),
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

"""Settings: the only code that reads the environment, with all problems reported together.

``playhead/engines/registry.py`` turns the names of engines into adapters.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    AliasChoices,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    model_validator,
)
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from playhead.core.errors import InvalidSettings
from playhead.core.records import KINDS, Kind

Tokens = Annotated[int, Field(ge=0)]
_ORG = "[a-z0-9][a-z0-9_-]{0,62}"
_KIND = "|".join(KINDS)
OrgId = Annotated[str, Field(pattern=f"^{_ORG}$")]


#: Value of ``PLAYHEAD_ALIGNER`` for no aligner: words without times are interpolated over the
#: time with speech.
NO_ALIGNER = "none"
#: Earlier names of engines, which are still accepted.
_ENGINE_ALIASES = {"instant": "stub"}


def current_engine_name(name: str) -> str:
    """Return the current name of an engine that may be given by an earlier name."""
    return _ENGINE_ALIASES.get(name, name)


EngineName = Annotated[str, AfterValidator(current_engine_name)]


class Chunking(BaseModel):
    """The chunk sizes of one kind of recording.

    Sizes are in tokens of the embedding model, whose window caps ``size``.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    transcript: Literal["segments", "text"] = Field(
        default="segments",
        description="How transcripts are chunked: `text` by whole sentences, `segments` also where "
        "the speaker changes or pauses.",
    )
    document: Literal["markdown", "text"] = Field(
        default="markdown",
        description="How documents are chunked: `text` by whole sentences, `markdown` by whole "
        "sections where they fit.",
    )
    size: Annotated[int, Field(ge=8)] = Field(  # in a smaller chunk one character may not fit
        default=500,
        description="Maximum tokens per chunk; if it exceeds the embedding model's window, all "
        "three sizes are scaled down in proportion.",
    )
    overlap: Tokens = Field(
        default=50,
        description="Maximum tokens that a chunk repeats of the previous one; must be less than "
        "`size`.",
    )
    minimum: Tokens = Field(
        default=100,
        description="Minimum tokens of a chunk that ends at a change of speaker, and of the last "
        "chunk where possible.",
    )

    @model_validator(mode="after")
    def _sizes_fit(self) -> Self:
        if not self.overlap < self.size:
            raise ValueError(f"overlap {self.overlap} must be less than size {self.size}")
        if not self.minimum <= self.size:
            raise ValueError(f"minimum {self.minimum} must not exceed size {self.size}")
        return self


class EngineNames(BaseModel):
    """The names of the engines of some recordings; None means the default engine."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    transcriber: EngineName | None = Field(
        default=None, description="Name of the transcriber; unset means `PLAYHEAD_TRANSCRIBER`."
    )
    writer: EngineName | None = Field(
        default=None, description="Name of the writer; unset means `PLAYHEAD_WRITER`."
    )


class Provider(BaseModel):
    """A server with an OpenAI-compatible API; without ``base_url`` it is OpenAI itself.

    The two limits are initial values: the limits that the provider reports replace them.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    base_url: Annotated[str | None, Field(pattern=r"^https?://")] = Field(
        default=None, description="Base URL of the API; unset means OpenAI."
    )
    api_key: SecretStr | None = Field(
        default=None,
        description="API key; unset means none, and `OPENAI_API_KEY` for the provider `openai`.",
    )
    requests_per_minute: Annotated[int, Field(ge=1)] = Field(
        default=500,
        validation_alias=AliasChoices("requests_per_minute", "requests_a_minute"),
        description="Maximum requests per minute until the provider reports its own limit.",
    )
    tokens_per_minute: Annotated[int, Field(ge=1)] = Field(
        default=1_000_000,
        validation_alias=AliasChoices("tokens_per_minute", "tokens_a_minute"),
        description="Maximum tokens per minute until the provider reports its own limit.",
    )


def _absolute(path: object) -> object:
    return Path(path).expanduser().resolve() if isinstance(path, str | Path) else path


def _from_json(value: object) -> object:
    return json.loads(value) if isinstance(value, str) else value


def _address(place: object) -> object:
    """Return a bucket's URL unchanged, and anything else as the path of a folder.

    Raises ``ValueError`` for a URL of another kind.
    """
    if isinstance(place, str) and "://" in place:
        if not _BUCKET.match(place):
            raise ValueError("neither a folder nor s3://…, gs://… or az://…")
        return place
    return _absolute(place)


_BUCKET = re.compile(r"(s3|gs|az)://[^/?#]+[^?#]*$")

Folder = Annotated[Path, BeforeValidator(_absolute)]
#: A folder, or the URL of a bucket and a prefix in it.
Location = Annotated[Path | str, BeforeValidator(_address)]
#: Decoded here, since pydantic-settings would stop at invalid JSON and report no other problem.
ChunkingByKind = Annotated[dict[Kind, Chunking], NoDecode, BeforeValidator(_from_json)]


ProvidersByName = Annotated[
    dict[Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]*$")], Provider],
    NoDecode,
    BeforeValidator(_from_json),
]


#: Keys are "<organisation>/<kind>"; one of the two may be "*".
EnginesByChoice = Annotated[
    dict[Annotated[str, Field(pattern=rf"^(\*/({_KIND})|{_ORG}/(\*|{_KIND}))$")], EngineNames],
    NoDecode,
    BeforeValidator(_from_json),
]


class Settings(BaseSettings):
    """All settings of an installation.

    Each field is read from ``PLAYHEAD_<NAME>``, ``database_url`` from ``DATABASE_URL`` and
    ``openai_api_key`` from ``OPENAI_API_KEY``, in the environment or in ``.env``. Credentials of
    buckets are not settings: see ``playhead/media/object_storage.py``.
    """

    model_config = SettingsConfigDict(
        env_prefix="PLAYHEAD_",
        env_file=".env",
        env_ignore_empty=True,
        extra="ignore",
        frozen=True,
        validate_default=True,
        populate_by_name=True,
    )

    home: Folder = Field(
        default=Path(".playhead"),
        description="Folder for all local state: the embedded database, media, inbox and models; "
        "a relative path is relative to the current directory.",
    )
    media: Location | None = Field(
        default=None,
        description="Where media files are stored: a folder, `s3://bucket/prefix`, "
        "`gs://bucket/prefix` or `az://account/container/prefix`; unset means `media` in "
        "`PLAYHEAD_HOME`.",
    )
    inbox: Location | None = Field(
        default=None,
        description="Folder or bucket URL that is watched for new files; unset means `inbox` in "
        "`PLAYHEAD_HOME`.",
    )
    s3_endpoint: Annotated[str | None, Field(pattern=r"^https?://")] = Field(
        default=None,
        description="URL of an S3-compatible server for `s3://` locations; unset means Amazon S3.",
    )
    org: OrgId = Field(
        default="default",
        description="Organisation of commands without `--org` and of files in the inbox.",
    )
    database_url: Annotated[str | None, Field(pattern=r"^postgres(ql)?://")] = Field(
        default=None,
        validation_alias=AliasChoices("DATABASE_URL", "database_url"),
        description="URL of a PostgreSQL server with pgvector; unset means the embedded server in "
        "`PLAYHEAD_HOME`.",
    )
    transcriber: EngineName = Field(
        default="whisper-base",
        description="Engine that transcribes: `whisper-base`, `whisper-tiny.en`, the folder of a "
        "CTranslate2 Whisper model, or `<provider>:<model>`.",
    )
    aligner: EngineName = Field(
        default="whisper-base",
        description="Local Whisper model that times the words of transcribers without word times; "
        "`none` interpolates the times instead.",
    )
    embedder: EngineName = Field(
        default="minilm",
        description="Embedding model: `minilm`, `wordllama` or `<provider>:<model>`, optionally "
        "with `@<dimensions>`.",
    )
    writer: EngineName = Field(
        default="extractive",
        description="Engine that writes documents: `extractive`, which only quotes the transcript, "
        "or `<provider>:<model>`.",
    )
    answerer: EngineName = Field(
        default="extractive",
        description="Engine that answers questions: `extractive`, which only quotes sentences, or "
        "`<provider>:<model>`.",
    )
    reranker: Literal["none", "sentences"] = Field(
        default="none",
        description="Second ranking of search results: `sentences` compares each sentence of the "
        "best passages with the query, which finds more and takes longer; `none` skips it.",
    )
    engines: EnginesByChoice = Field(
        default={},
        description="Engines of some recordings, as JSON by `<organisation>/<kind>`, one of which "
        'may be `*`: `{"*/meeting": {"transcriber": "…", "writer": "…"}}`; all others use the '
        "defaults.",
    )
    chunking: ChunkingByKind = Field(
        default={},
        description="Chunk sizes in tokens by kind of recording, as JSON: "
        '`{"meeting": {"size": 300, "overlap": 40, "minimum": 80}}`; other kinds use the '
        "defaults.",
    )
    confirm_above_usd: Annotated[float, Field(ge=0)] = Field(
        default=1.0,
        description="Maximum estimated cost, in US dollars, of a plan or a new model that needs no "
        "`--confirm-usd`.",
    )
    openai_api_key: SecretStr | None = Field(
        default=None,
        validation_alias=AliasChoices("OPENAI_API_KEY", "openai_api_key"),
        description="API key of the provider `openai`; unset means that its models cannot be used.",
    )
    providers: ProvidersByName = Field(
        default={},
        description="Servers with an OpenAI-compatible API, as JSON by name: "
        '`{"ollama": {"base_url": "http://localhost:11434/v1"}}`; `openai` always exists.',
    )
    daily_budget_usd: Annotated[float | None, Field(ge=0)] = Field(
        default=None,
        description="Maximum provider cost, in US dollars per day (UTC) and organisation; above "
        "it, recordings are parked until the next day; unset means no limit.",
    )
    titles_in_partition_keys: bool = Field(
        default=True,
        description="Put a slug of the title into a recording's partition key. Set to false where "
        "titles are confidential.",
    )

    @property
    def media_location(self) -> Path | str:
        """Return the folder or bucket of the media store; the default is ``home/media``."""
        return self.media or self.home / "media"

    @property
    def inbox_location(self) -> Path | str:
        """Return the folder or bucket of the inbox; the default is ``home/inbox``."""
        return self.inbox or self.home / "inbox"

    def provider(self, name: str) -> Provider | None:
        """Return the provider with this name, or None if it is not configured.

        ``openai`` always exists; its key defaults to ``openai_api_key``.
        """
        if name != "openai":
            return self.providers.get(name)
        openai = self.providers.get(name, Provider())
        key = openai.api_key or self.openai_api_key
        return openai.model_copy(update={"api_key": key})

    def transcriber_for(self, org_id: str, kind: Kind) -> str:
        """Return the name of the transcriber for an organisation's recordings of a kind."""
        named = [names.transcriber for names in self._engines_for(org_id, kind)]
        return next(filter(None, named), self.transcriber)

    def writer_for(self, org_id: str, kind: Kind) -> str:
        """Return the name of the writer for an organisation's recordings of a kind."""
        named = [names.writer for names in self._engines_for(org_id, kind)]
        return next(filter(None, named), self.writer)

    def _engines_for(self, org_id: str, kind: Kind) -> list[EngineNames]:
        """Return the matching entries of ``engines``, the most specific first.

        An entry for an organisation precedes an entry for a kind.
        """
        places = (f"{org_id}/{kind}", f"{org_id}/*", f"*/{kind}")
        return [self.engines[place] for place in places if place in self.engines]

    def chunking_for(self, kind: Kind) -> Chunking:
        """Return the chunk sizes for recordings of a kind."""
        return self.chunking.get(kind, Chunking())


def load_settings(*, home: str | Path | None = None) -> Settings:
    """Load the settings from the environment and ``.env``.

    ``home`` replaces the setting of that name if it is not None. Raises ``InvalidSettings`` with a
    message that lists every problem.
    """
    overrides: dict[str, Any] = {} if home is None else {"home": home}
    try:
        return Settings(**overrides)
    except ValidationError as error:
        problems = [f"{_variable(problem['loc'])}: {problem['msg']}" for problem in error.errors()]
        raise InvalidSettings(
            "\n".join(problems), remedy="Correct these variables; docs/settings.md lists all."
        ) from error


def _variable(location: tuple[int | str, ...]) -> str:
    name, *inside = map(str, location)
    variable = name if name in ("DATABASE_URL", "OPENAI_API_KEY") else f"PLAYHEAD_{name.upper()}"
    return ".".join([variable, *inside])

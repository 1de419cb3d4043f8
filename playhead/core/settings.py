"""Settings: the only code that reads the environment, with all problems reported together.

``playhead/engines/registry.py`` turns the names of engines into adapters.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
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
#: stretches with speech.
NO_ALIGNER = "none"


class Chunking(BaseModel):
    """The chunk sizes of one kind of recording.

    Sizes are in tokens of the embedding model, whose window caps ``size``.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    transcript: Literal["segments", "text"] = "segments"
    document: Literal["markdown", "text"] = "markdown"
    size: Annotated[int, Field(ge=8)] = 500  # less, and one character may not fit
    overlap: Tokens = 50
    minimum: Tokens = 100

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

    transcriber: str | None = None
    writer: str | None = None


class Provider(BaseModel):
    """A server with an OpenAI-compatible API; without ``base_url`` it is OpenAI itself.

    The two limits are initial values: the limits that the provider reports replace them.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    base_url: Annotated[str | None, Field(pattern=r"^https?://")] = None
    api_key: SecretStr | None = None
    requests_per_minute: Annotated[int, Field(ge=1)] = 500
    tokens_per_minute: Annotated[int, Field(ge=1)] = 1_000_000


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

    home: Folder = Path(".playhead")
    media: Location | None = None
    inbox: Location | None = None
    s3_endpoint: Annotated[str | None, Field(pattern=r"^https?://")] = None
    org: OrgId = "default"
    database_url: Annotated[str | None, Field(pattern=r"^postgres(ql)?://")] = Field(
        default=None, validation_alias=AliasChoices("DATABASE_URL", "database_url")
    )
    transcriber: str = "whisper-base"
    aligner: str = "whisper-base"
    embedder: str = "minilm"
    writer: str = "extractive"
    answerer: str = "extractive"
    reranker: Literal["none", "sentences"] = "none"
    engines: EnginesByChoice = {}
    chunking: ChunkingByKind = {}
    confirm_above_usd: Annotated[float, Field(ge=0)] = 1.0
    openai_api_key: SecretStr | None = Field(
        default=None, validation_alias=AliasChoices("OPENAI_API_KEY", "openai_api_key")
    )
    providers: ProvidersByName = {}
    daily_budget_usd: Annotated[float | None, Field(ge=0)] = None
    titles_in_partition_keys: bool = True

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
    given: dict[str, Any] = {} if home is None else {"home": home}
    try:
        return Settings(**given)
    except ValidationError as error:
        problems = [f"{_variable(problem['loc'])}: {problem['msg']}" for problem in error.errors()]
        raise InvalidSettings(
            "\n".join(problems), remedy="Correct these variables; README.md has the table."
        ) from error


def _variable(location: tuple[int | str, ...]) -> str:
    name, *inside = map(str, location)
    variable = name if name in ("DATABASE_URL", "OPENAI_API_KEY") else f"PLAYHEAD_{name.upper()}"
    return ".".join([variable, *inside])

"""Settings: the only reader of the environment. Checked once, all problems told at once.

Not here: what the names mean (``resources/engines.py`` turns them into adapters).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Literal, Self

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

from resources.errors import InvalidSettings
from resources.records import Kind

Tokens = Annotated[int, Field(ge=0)]
OrgId = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,62}$")]


#: As ``PLAYHEAD_ALIGNER``: words without times get theirs by where somebody speaks.
NO_ALIGNER = "none"


class Chunking(BaseModel):
    """How recordings of one kind are cut. Sizes in tokens of the embedding model, whose window
    caps ``size``."""

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


class Provider(BaseModel):
    """A server that speaks OpenAI's protocol. Without ``base_url`` it is OpenAI itself. The two
    limits are where its pace begins; what it says of its own limits is followed from then on."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    base_url: Annotated[str | None, Field(pattern=r"^https?://")] = None
    api_key: SecretStr | None = None
    requests_a_minute: Annotated[int, Field(ge=1)] = 500
    tokens_a_minute: Annotated[int, Field(ge=1)] = 1_000_000


def _absolute(path: object) -> object:
    return Path(path).expanduser().resolve() if isinstance(path, str | Path) else path


def _from_json(value: object) -> object:
    return json.loads(value) if isinstance(value, str) else value


Folder = Annotated[Path, BeforeValidator(_absolute)]
#: Decoded here, since pydantic-settings would end at broken JSON and tell no other problem.
ChunkingByKind = Annotated[dict[Kind, Chunking], NoDecode, BeforeValidator(_from_json)]


ProvidersByName = Annotated[
    dict[Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]*$")], Provider],
    NoDecode,
    BeforeValidator(_from_json),
]


class Settings(BaseSettings):
    """What a person can set; each field by ``PLAYHEAD_<NAME>``, ``database_url`` by
    ``DATABASE_URL`` and ``openai_api_key`` by ``OPENAI_API_KEY``, in the environment or in
    ``.env``."""

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
    inbox: Folder | None = None
    org: OrgId = "default"
    database_url: Annotated[str | None, Field(pattern=r"^postgres(ql)?://")] = Field(
        default=None, validation_alias=AliasChoices("DATABASE_URL", "database_url")
    )
    transcriber: str = "whisper-base"
    aligner: str = "whisper-base"
    embedder: str = "minilm"
    writer: str = "extractive"
    chunking: ChunkingByKind = {}
    confirm_above_usd: Annotated[float, Field(ge=0)] = 1.0
    openai_api_key: SecretStr | None = Field(
        default=None, validation_alias=AliasChoices("OPENAI_API_KEY", "openai_api_key")
    )
    providers: ProvidersByName = {}
    daily_budget_usd: Annotated[float | None, Field(ge=0)] = None

    @property
    def inbox_folder(self) -> Path:
        return self.inbox or self.home / "inbox"

    def provider(self, name: str) -> Provider | None:
        """Of this name; ``openai`` is there without being named."""
        if name != "openai":
            return self.providers.get(name)
        openai = self.providers.get(name, Provider())
        key = openai.api_key or self.openai_api_key
        return openai.model_copy(update={"api_key": key})

    def chunking_of(self, kind: Kind) -> Chunking:
        return self.chunking.get(kind, Chunking())


def load_settings() -> Settings:
    """From the environment and ``.env``. Raises ``InvalidSettings`` naming every problem."""
    try:
        return Settings()
    except ValidationError as error:
        problems = [f"{_variable(problem['loc'])}: {problem['msg']}" for problem in error.errors()]
        raise InvalidSettings(
            "\n".join(problems), remedy="Correct these variables; README.md has the table."
        ) from error


def _variable(location: tuple[int | str, ...]) -> str:
    name, *inside = map(str, location)
    variable = name if name in ("DATABASE_URL", "OPENAI_API_KEY") else f"PLAYHEAD_{name.upper()}"
    return ".".join([variable, *inside])

"""The quantities that a provider bills a call by."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Endpoint = Literal[
    "transcriptions", "responses", "chat", "embeddings", "files", "batches", "models"
]


@dataclass(frozen=True, slots=True)
class Usage:
    """The billed quantities of a request and its reply, added up."""

    input_tokens: int = 0
    output_tokens: int = 0
    audio_seconds: float = 0.0


NO_USAGE = Usage()

"""What a call to a provider is billed by."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Endpoint = Literal[
    "transcriptions", "responses", "chat", "embeddings", "files", "batches", "models"
]


@dataclass(frozen=True, slots=True)
class Usage:
    """What a request is billed by; sums of a request and its reply."""

    input_tokens: int = 0
    output_tokens: int = 0
    audio_seconds: float = 0.0


NO_USAGE = Usage()

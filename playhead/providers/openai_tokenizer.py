"""OpenAI's tokens, counted here: its encodings come with a package, not from the net.

Here: counting and positions, for what is embedded and for what is read at once. Not here: other
models' tokens (``embedding/tokens.py``), limits (``capabilities.py``).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING

from playhead.core.text import replace_surrogates
from playhead.providers.model_catalog import Encoding

if TYPE_CHECKING:
    from bpe_openai import Encoding as Bpe


class BpeTokenizer:
    """A ``Tokenizer``. The vocabulary is loaded with the first text, 50 MB, once a process."""

    def __init__(self, encoding: Encoding) -> None:
        self._encoding = encoding

    def count(self, text: str) -> int:
        return len(_bpe(self._encoding).encode_ordinary(replace_surrogates(text)))

    def offsets(self, text: str) -> Sequence[tuple[int, int]]:
        """``(char_start, char_end)`` of every token, in order, white space before a word with the
        word. A character of several tokens gives each of them the same pair."""
        bpe = _bpe(self._encoding)
        pieces = bpe.decode_tokens_bytes(bpe.encode_ordinary(replace_surrogates(text)))
        return _characters(pieces)


def _characters(pieces: Sequence[bytes]) -> list[tuple[int, int]]:
    """Bytes to characters: a token begins with the character its first byte is of, and ends with
    the one its last byte is of."""
    pairs, ended = [], 0
    for piece in pieces:
        begun = sum(not 0x80 <= byte < 0xC0 for byte in piece)
        inside = 0x80 <= piece[0] < 0xC0  # goes on with the character before
        pairs.append((ended - inside, ended + begun))
        ended += begun
    return pairs


@cache
def _bpe(encoding: Encoding) -> Bpe:
    import bpe_openai  # here: its vocabularies take half a second

    return bpe_openai.get_encoding(encoding)

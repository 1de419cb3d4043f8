"""Model files from wheels are used only if they are exactly the pinned ones."""

from __future__ import annotations

import hashlib
import shutil
import sys
from pathlib import Path

import pytest

from playhead.core import packaged_models
from playhead.core.errors import ModelUnavailable


@pytest.fixture
def model_copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a copy of MiniLM's package that is found first and can be altered."""
    source = packaged_models.minilm_folder().parent
    package = tmp_path / source.name
    package.mkdir()
    shutil.copytree(source / "model", package / "model")
    (package / "__init__.py").write_text("raise AssertionError('this package was imported')")
    monkeypatch.syspath_prepend(str(tmp_path))
    return package


def test_weights_with_one_changed_byte_are_rejected(model_copy: Path) -> None:
    weights = model_copy / "model" / "model.safetensors"
    data = bytearray(weights.read_bytes())
    data[1_000_000] ^= 1
    weights.write_bytes(data)
    with pytest.raises(ModelUnavailable, match=r"altered: model\.safetensors") as caught:
        packaged_models.minilm_folder()
    assert "make setup" in caught.value.remedy


def test_altered_tokenizer_is_rejected(model_copy: Path) -> None:
    (model_copy / "model" / "tokenizer.json").write_text("{}")
    with pytest.raises(ModelUnavailable, match=r"tokenizer\.json"):
        packaged_models.check_model("minilm")


def test_missing_file_is_named_with_a_remedy(model_copy: Path) -> None:
    (model_copy / "model" / "config.json").unlink()
    with pytest.raises(ModelUnavailable, match=r"missing .*config\.json") as caught:
        packaged_models.check_model("minilm")
    assert "make setup" in caught.value.remedy


def test_model_package_is_never_imported(model_copy: Path) -> None:
    assert packaged_models.minilm_folder() == model_copy / "model"
    assert model_copy.name not in sys.modules


def test_model_of_a_missing_package_is_unavailable(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    monkeypatch.delitem(sys.modules, "wordllama", raising=False)  # other tests import it
    for name in packaged_models.MODELS:
        with pytest.raises(ModelUnavailable, match="missing"):
            packaged_models.check_model(name)


def test_unknown_model_is_answered_with_the_known_names() -> None:
    with pytest.raises(ModelUnavailable, match="no packaged model 'whisper-huge'") as caught:
        packaged_models.check_model("whisper-huge")
    assert "whisper-base" in caught.value.remedy


@pytest.mark.parametrize("name", packaged_models.WHISPER_MODELS)
def test_whisper_model_is_complete_and_has_the_stated_weights(name: str) -> None:
    files = packaged_models.whisper_files(name)
    assert set(files) == {"model.bin", "config.json", "tokenizer.json", "vocabulary.txt"}
    assert hashlib.sha256(files["model.bin"]).hexdigest() == packaged_models.weights_sha256(name)

"""Settings are read once; all problems are reported together by variable name."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from pydantic import BaseModel, ValidationError

from playhead.core.errors import InvalidSettings
from playhead.core.settings import (
    Chunking,
    EngineNames,
    Provider,
    Settings,
    load_settings,
)


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Remove the caller's variables and use a folder without ``.env``."""
    for name in [*os.environ]:
        if name.startswith("PLAYHEAD_") or name == "DATABASE_URL":
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


def problems(monkeypatch: pytest.MonkeyPatch, **variables: str) -> str:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(InvalidSettings) as raised:
        load_settings()
    assert "docs/settings.md" in raised.value.remedy
    return str(raised.value)


def test_all_problems_are_reported_with_their_variables(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    report = problems(
        monkeypatch,
        DATABASE_URL="mysql://server/playhead",
        PLAYHEAD_ORG="Not An Org",
        PLAYHEAD_CHUNKING='{"meeting": {"size": 10, "overlap": 20}, "song": {}}',
    )
    lines = report.splitlines()
    assert len(lines) == 4
    for start in (
        "DATABASE_URL: ",
        "PLAYHEAD_ORG: ",
        "PLAYHEAD_CHUNKING.meeting: ",
        "PLAYHEAD_CHUNKING.song",
    ):
        assert sum(line.startswith(start) for line in lines) == 1, start
    assert "overlap 20 must be less than size 10" in report


@pytest.mark.parametrize("broken", ["{", "meeting", '{"meeting": 3}', "[]"])
def test_chunking_that_is_not_a_json_object_is_reported(
    monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    assert problems(monkeypatch, PLAYHEAD_CHUNKING=broken).startswith("PLAYHEAD_CHUNKING")


def test_broken_json_does_not_hide_other_problems(monkeypatch: pytest.MonkeyPatch) -> None:
    report = problems(monkeypatch, PLAYHEAD_CHUNKING="{", PLAYHEAD_ORG="Not An Org")
    assert "PLAYHEAD_CHUNKING" in report
    assert "PLAYHEAD_ORG" in report


def test_defaults_apply_without_any_variable(tmp_path: Path) -> None:
    settings = load_settings()
    assert settings.home == tmp_path / ".playhead"
    assert settings.inbox_location == tmp_path / ".playhead" / "inbox"
    assert (settings.org, settings.database_url) == ("default", None)
    engines = (settings.transcriber, settings.embedder, settings.writer)
    assert engines == ("whisper-base", "minilm", "extractive")
    chunking = settings.chunking_for("meeting")
    assert (chunking.size, chunking.overlap, chunking.minimum) == (500, 50, 100)
    assert (chunking.transcript, chunking.document) == ("segments", "markdown")


def test_chunking_is_set_per_kind(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PLAYHEAD_CHUNKING", '{"meeting": {"transcript": "text", "size": 300}}')
    settings = load_settings()
    assert settings.chunking_for("meeting") == Chunking(transcript="text", size=300)
    assert settings.chunking_for("book") == Chunking()


@pytest.mark.parametrize(
    ("chunking", "message"),
    [
        ('{"book": {"size": 50, "overlap": 50, "minimum": 0}}', "overlap 50 must be less"),
        ('{"book": {"size": 90}}', "minimum 100 must not exceed size 90"),
        ('{"book": {"overlap": -1}}', "book.overlap"),
        ('{"book": {"siez": 300}}', "book.siez"),
        ('{"book": {"document": "segments"}}', "book.document"),
        ('{"book": {"size": "large"}}', "book.size"),
    ],
)
def test_invalid_chunk_sizes_are_reported(
    monkeypatch: pytest.MonkeyPatch, chunking: str, message: str
) -> None:
    assert message in problems(monkeypatch, PLAYHEAD_CHUNKING=chunking)


def test_environment_takes_precedence_over_dot_env_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / ".env").write_text("PLAYHEAD_ORG=from-file\nPLAYHEAD_WRITER=file\nOTHER=ignored\n")
    monkeypatch.setenv("PLAYHEAD_ORG", "from-environment")
    settings = load_settings()
    assert (settings.org, settings.writer) == ("from-environment", "file")


def test_old_names_of_provider_limits_are_accepted(monkeypatch: pytest.MonkeyPatch) -> None:
    limits = {"old": "requests_a_minute", "new": "requests_per_minute"}
    tokens = {"old": "tokens_a_minute", "new": "tokens_per_minute"}
    providers = {name: {limits[name]: 7, tokens[name]: 70} for name in limits}
    monkeypatch.setenv("PLAYHEAD_PROVIDERS", json.dumps(providers))
    found = load_settings().providers
    assert found["old"] == found["new"] == Provider(requests_per_minute=7, tokens_per_minute=70)
    both = {"both": {"requests_a_minute": 7, "requests_per_minute": 8}}
    assert "requests_a_minute" in problems(monkeypatch, PLAYHEAD_PROVIDERS=json.dumps(both))


def test_old_name_of_the_stub_engines_is_accepted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLAYHEAD_TRANSCRIBER", "instant")
    monkeypatch.setenv("PLAYHEAD_EMBEDDER", "instant")
    monkeypatch.setenv("PLAYHEAD_ENGINES", '{"acme/*": {"transcriber": "instant"}}')
    settings = load_settings()
    assert (settings.transcriber, settings.embedder) == ("stub", "stub")
    assert settings.transcriber_for("acme", "lecture") == "stub"


@pytest.mark.parametrize("model", [Settings, Chunking, EngineNames, Provider])
def test_every_setting_has_a_description_of_one_sentence(model: type[BaseModel]) -> None:
    for name, field in model.model_fields.items():
        assert field.description, name
        assert field.description.endswith("."), name


def test_empty_variable_counts_as_unset(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLAYHEAD_ORG", "")
    monkeypatch.setenv("DATABASE_URL", "")
    assert (load_settings().org, load_settings().database_url) == ("default", None)


@pytest.mark.parametrize("url", ["postgres://u@h/db", "postgresql://u:p@h:5432/db?sslmode=require"])
def test_both_spellings_of_a_postgres_url_are_accepted(
    monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    monkeypatch.setenv("DATABASE_URL", url)
    assert load_settings().database_url == url


def test_home_may_be_relative_have_spaces_or_a_tilde(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PLAYHEAD_HOME", "my state")
    assert load_settings().home == tmp_path / "my state"
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("PLAYHEAD_HOME", "~/state")
    assert load_settings().home == tmp_path / "state"


def test_home_stays_the_same_after_a_change_of_directory(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    settings = load_settings()
    monkeypatch.chdir("/")
    assert settings.home == tmp_path / ".playhead"


def test_settings_are_immutable() -> None:
    settings = Settings()
    with pytest.raises(ValidationError):
        settings.org = "another"


@pytest.mark.parametrize("org", ["-x", "a b", "Ä", "../x", "a" * 64, "a\n"])
def test_organisation_must_be_a_short_plain_name(monkeypatch: pytest.MonkeyPatch, org: str) -> None:
    assert problems(monkeypatch, PLAYHEAD_ORG=org).startswith("PLAYHEAD_ORG: ")


def test_media_and_inbox_are_folders_or_buckets(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PLAYHEAD_MEDIA", "s3://talks/media")
    monkeypatch.setenv("PLAYHEAD_INBOX", "dropped")
    settings = load_settings()
    assert settings.media_location == "s3://talks/media"
    assert settings.inbox_location == tmp_path / "dropped"


@pytest.mark.parametrize("broken", ["ftp://talks/media", "s3://", "s3:///media", "https://talks"])
def test_invalid_bucket_address_is_reported_by_variable(
    monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    assert problems(monkeypatch, PLAYHEAD_MEDIA=broken).startswith("PLAYHEAD_MEDIA")


def test_home_argument_takes_precedence_over_the_environment(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PLAYHEAD_HOME", "/elsewhere")
    monkeypatch.chdir(tmp_path)
    assert load_settings(home="here").media_location == tmp_path / "here" / "media"

"""The engine catalog: parsed names, complete error reports, prices and shutdown dates."""

from __future__ import annotations

import json
from datetime import date

import pytest
from click.testing import CliRunner
from pydantic import SecretStr

from playhead.cli.main import playhead
from playhead.core.errors import InvalidSettings, ModelUnavailable
from playhead.core.model_deprecations import shutdown_date
from playhead.core.settings import EngineNames, Provider, Settings
from playhead.core.usage import Usage
from playhead.engines.catalog import EngineFacts, list_engines
from playhead.engines.registry import build_embedders, build_engines
from playhead.engines.remote import RemoteEngines
from playhead.providers.model_catalog import pricing, rates_of, text_model
from playhead.providers.model_names import RemoteModel, parse_remote_model
from tests.support.provider_servers import PlainClient, json_reply, serve_replies

TODAY = date(2026, 11, 22)
KEY = SecretStr("test-key")
OWN_PROVIDER = Provider(base_url="http://127.0.0.1:9/v1")


def settings(**more: object) -> Settings:
    return Settings(**{"openai_api_key": None, "providers": {}} | more)  # type: ignore[arg-type]


def list_by_name(chosen: Settings, today: date = TODAY) -> dict[str, EngineFacts]:
    return {engine.name: engine for engine in list_engines(chosen, today) if engine.name != "stub"}


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("openai:gpt-transcribe", RemoteModel("openai", "gpt-transcribe")),
        ("ollama:llama3:8b", RemoteModel("ollama", "llama3:8b")),
        (
            "openai:text-embedding-3-large@1024",
            RemoteModel("openai", "text-embedding-3-large", 1024),
        ),
        ("vllm:org/model", RemoteModel("vllm", "org/model")),
        ("minilm", None),
        ("openai:", None),
    ],
)
def test_remote_model_name_has_provider_model_and_dimensions(
    name: str, parts: RemoteModel | None
) -> None:
    assert parse_remote_model(name) == parts


def test_default_engines_have_no_shutdown_date() -> None:
    chosen = Settings()
    for name in (chosen.transcriber, chosen.writer, chosen.embedder):
        model = parse_remote_model(name)
        assert shutdown_date(model.model if model else name) is None


def test_unavailable_engines_are_all_reported_with_what_is_missing() -> None:
    wrong = settings(
        writer="openai:gpt-6-luna",
        embedder="ollama:nomic",
        transcriber="nobody",
        answerer="somebody",
    )
    with pytest.raises(InvalidSettings) as caught:
        build_engines(wrong)
    lines = str(caught.value).splitlines()
    assert [line.split(":")[0] for line in lines] == [
        "PLAYHEAD_TRANSCRIBER",
        "PLAYHEAD_WRITER",
        "PLAYHEAD_EMBEDDER",
        "PLAYHEAD_ANSWERER",
    ]
    assert "OPENAI_API_KEY is not set" in lines[1]
    assert "PLAYHEAD_PROVIDERS has no 'ollama'" in lines[2]


def test_remote_engines_are_built_by_name() -> None:
    remote = settings(
        writer="openai:gpt-6-luna",
        embedder="own:nomic",
        openai_api_key=KEY,
        providers={"own": OWN_PROVIDER},
    )
    engines = build_engines(remote, lambda name, *_: PlainClient(name))
    embedder = engines.embedders.named("own:nomic")
    assert (engines.writer.engine.name, engines.writer.engine.model) == ("openai", "gpt-6-luna")
    assert (embedder.engine.name, embedder.engine.model) == ("own", "nomic")
    other = engines.embedders.named("openai:text-embedding-3-small@256")
    assert other.dimensions == 256


def test_embedder_of_a_removed_provider_is_unavailable() -> None:
    with pytest.raises(ModelUnavailable, match="'gone'"):
        build_embedders(settings(), lambda name, *_: PlainClient(name)).named("gone:nomic")


def test_openai_models_are_listed_with_price_end_and_missing_setting() -> None:
    found = list_by_name(settings())
    whisper, luna = found["openai:whisper-1"], found["openai:gpt-6-luna"]
    assert (whisper.output_formats[0], whisper.usd_an_audio_minute) == ("words", 0.006)
    assert (whisper.ends, whisper.ended) == (date(2027, 2, 26), False)
    assert whisper.missing_setting == "OPENAI_API_KEY is not set."
    assert (luna.usd_a_million_tokens, luna.ends) == ((0.10, 0.50), None)
    assert found["openai:gpt-transcribe"].output_formats == ("text",)
    assert found["openai:text-embedding-3-small"].dimensions == 1536
    assert found["minilm"].local
    assert all(
        engine.missing_setting is None
        for engine in list_by_name(settings(openai_api_key=KEY)).values()
    )


def test_model_is_marked_from_its_shutdown_date() -> None:
    before, after = date(2027, 2, 25), date(2027, 2, 26)
    assert not list_by_name(settings(), before)["openai:whisper-1"].ended
    assert list_by_name(settings(), after)["openai:whisper-1"].ended


def test_engines_in_settings_are_marked_and_added_if_unknown() -> None:
    chosen = settings(writer="own:llama3", answerer="own:qwen3", providers={"own": OWN_PROVIDER})
    found = list_by_name(chosen)
    assert {(engine.role, name) for name, engine in found.items() if engine.chosen} == {
        ("transcriber", "whisper-base"),
        ("embedder", "minilm"),
        ("writer", "own:llama3"),
        ("answerer", "own:qwen3"),
    }
    assert found["own:llama3"].usd_a_million_tokens == (0.0, 0.0)


def test_listed_facts_of_local_embedders_match_the_embedders() -> None:
    found, embedders = list_by_name(settings()), build_embedders(settings())
    for name in ("minilm", "wordllama"):
        embedder = embedders.named(name)
        assert found[name].dimensions == embedder.dimensions
        assert found[name].window_tokens == embedder.window_tokens


def test_own_server_is_free_and_unknown_openai_model_costs_the_maximum() -> None:
    used = Usage(1_000_000, 1_000_000, 60.0)
    openai = pricing(Provider(api_key=KEY))
    assert pricing(OWN_PROVIDER)("gpt-6-luna", used) == 0.0
    assert openai("gpt-6-luna", used) == pytest.approx(0.60)
    assert openai("gpt-transcribe", Usage(audio_seconds=120.0)) == pytest.approx(0.009)
    assert openai("gpt-9", used) >= max(
        openai(model, used) for model in ("gpt-4o", "gpt-6.1-sol", "whisper-1")
    )
    assert rates_of(Provider(base_url="https://x/v1", api_key=KEY), "someones") is None


def test_audio_billed_by_tokens_has_an_estimated_price_per_minute() -> None:
    """Compare the estimate with OpenAI's own, $0.006 per minute."""
    engines = RemoteEngines(settings(openai_api_key=KEY), lambda name, *_: PlainClient(name))
    price = engines.recognizer(RemoteModel("openai", "gpt-4o-transcribe")).price
    assert 0.006 <= price.cost_usd(calls=1, tokens=0, audio_seconds=60) <= 0.009


def test_dated_snapshot_has_the_facts_of_its_model() -> None:
    snapshot, model = (text_model(name, of_openai=True) for name in ("gpt-4o-2024-08-06", "gpt-4o"))
    assert snapshot.known
    assert (snapshot.rates, snapshot.shutdown_date) == (model.rates, model.shutdown_date)
    assert not text_model("gpt-4o-mini-tts", of_openai=True).known


def test_engines_command_prints_a_line_per_engine() -> None:
    done = CliRunner().invoke(playhead, ["engines", "--json"], catch_exceptions=False)
    rows = [json.loads(line) for line in done.output.splitlines()]
    assert {row["role"] for row in rows} == {"transcriber", "writer", "answerer", "embedder"}
    assert next(row for row in rows if row["name"] == "openai:whisper-1")["ends"] == "2027-02-26"
    table = CliRunner().invoke(playhead, ["engines"], catch_exceptions=False).output
    assert "openai:gpt-6-luna" in table


def test_engines_command_lists_a_servers_models_and_shutdown_dates(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with serve_replies() as api:
        api.replies = [
            json_reply(
                {"data": [{"id": "b"}, {"id": "a", "shutdown_date": "2026-11-01"}, {"id": "o3"}]}
            )
        ]
        monkeypatch.setenv("PLAYHEAD_PROVIDERS", json.dumps({"own": {"base_url": api.url}}))
        done = CliRunner().invoke(playhead, ["engines", "--ask", "own", "--json"])
        rows = [json.loads(line) for line in done.output.splitlines()]
    assert rows == [
        {"name": "a", "ends": "2026-11-01"},
        {"name": "b", "ends": None},
        {"name": "o3", "ends": "2026-12-11"},
    ]
    assert api.requests[0].path == "/v1/models"


def test_engines_for_some_recordings_are_marked_as_chosen() -> None:
    settings = Settings(
        engines={
            "*/meeting": EngineNames(writer="own:llama3", transcriber="whisper-tiny.en"),
            "acme/*": EngineNames(transcriber="own:llama3"),
        },
        providers={"own": Provider(base_url="http://localhost:1/v1")},
    )
    used = {(engine.role, engine.name) for engine in list_engines(settings, TODAY) if engine.chosen}
    assert {
        ("transcriber", "whisper-base"),
        ("transcriber", "whisper-tiny.en"),
        ("transcriber", "own:llama3"),
        ("writer", "own:llama3"),
        ("writer", "extractive"),
    } <= used

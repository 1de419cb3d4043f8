"""The OpenAI client for people's own assets, from dagster-openai, configured by the settings."""

import dagster as dg
import pytest
from dagster_openai import OpenAIResource

from playhead.core.errors import ModelUnavailable
from playhead.core.settings import Settings
from resources.dagster_resources import openai_resource
from tests.support.provider_servers import FakeProvider, json_reply

CHAT = {
    "id": "c",
    "object": "chat.completion",
    "model": "gpt-6-luna",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "Yes."}}],
    "usage": {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5},
}


@dg.asset
def opinion(context: dg.AssetExecutionContext, openai: OpenAIResource) -> str:
    with openai.get_client(context) as client:
        completion = client.chat.completions.create(
            model="gpt-6-luna", messages=[{"role": "user", "content": "Is it?"}]
        )
    return completion.choices[0].message.content or ""


def test_own_asset_calls_openai_with_the_key_and_address_of_settings(api: FakeProvider) -> None:
    api.replies = [json_reply(CHAT)]
    result = dg.materialize([opinion], resources={"openai": openai_resource(api.settings())})
    assert result.output_for_node("opinion") == "Yes."
    assert api.requests[0].headers["authorization"] == "Bearer test-key"
    [event] = result.asset_materializations_for_node("opinion")
    assert event.metadata["openai.gpt-6-luna.calls"].value == 1


def test_api_key_is_not_in_dagsters_configuration(api: FakeProvider) -> None:
    resource = openai_resource(api.settings())
    assert not resource.config_schema.default_provided


def test_asset_without_an_api_key_fails_with_a_remedy() -> None:
    settings = Settings(openai_api_key=None, providers={})
    with pytest.raises(dg.DagsterError) as caught:
        dg.materialize([opinion], resources={"openai": openai_resource(settings)})
    assert isinstance(caught.value.__cause__, ModelUnavailable)

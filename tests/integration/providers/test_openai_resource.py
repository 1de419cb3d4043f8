"""OpenAI's client for people's own assets: by dagster-openai, configured by our settings."""

import dagster as dg
import pytest
from dagster_openai import OpenAIResource

from playhead.core.errors import ModelUnavailable
from playhead.core.settings import Settings
from resources.dagster_resources import openai_resource
from tests.support.provider_servers import Server, told

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
        asked = client.chat.completions.create(
            model="gpt-6-luna", messages=[{"role": "user", "content": "Is it?"}]
        )
    return asked.choices[0].message.content or ""


def test_an_asset_of_ones_own_asks_with_the_key_and_address_of_settings(api: Server) -> None:
    api.replies = [told(CHAT)]
    made = dg.materialize([opinion], resources={"openai": openai_resource(api.settings())})
    assert made.output_for_node("opinion") == "Yes."
    assert api.asked[0].headers["authorization"] == "Bearer test-key"
    [event] = made.asset_materializations_for_node("opinion")
    assert event.metadata["openai.gpt-6-luna.calls"].value == 1


def test_the_key_is_no_part_of_dagsters_configuration(api: Server) -> None:
    resource = openai_resource(api.settings())
    assert not resource.config_schema.default_provided


def test_without_a_key_the_asset_says_what_is_missing() -> None:
    nothing = Settings(openai_api_key=None, providers={})
    with pytest.raises(dg.DagsterError) as caught:
        dg.materialize([opinion], resources={"openai": openai_resource(nothing)})
    assert isinstance(caught.value.__cause__, ModelUnavailable)

"""The Dagster resources: Playhead's services and OpenAI's client.

The package ``playhead`` does not import Dagster; a test checks this.
"""

from collections.abc import Iterator
from contextlib import nullcontext
from typing import TYPE_CHECKING

import dagster as dg

from playhead.core.errors import ModelUnavailable
from playhead.core.settings import Settings
from playhead.engines.registry import Engines
from playhead.postgres.coordination.liveness import run_role
from playhead.providers.model_names import missing_setting
from playhead.services.context import PipelineServices, open_pipeline_services

if TYPE_CHECKING:  # the import takes most of a second
    from dagster_openai import OpenAIResource


def services_resource(
    settings: Settings, engines: Engines, services: PipelineServices | None
) -> dg.ResourceDefinition:
    """Return the resource that opens the services when a run or sensor first needs them.

    They are closed afterwards; the engines stay loaded. ``services``, if given, is used instead: it
    belongs to a process that keeps it open between its runs.
    """

    @dg.resource(description="Recordings, stage results, media and models.")
    def playhead(context: dg.InitResourceContext) -> Iterator[PipelineServices]:
        with (
            nullcontext(services)
            if services
            else open_pipeline_services(settings, engines) as opened
        ):
            if context.run is None:
                yield opened
            else:
                with opened.liveness.hold(run_role(context.run.run_id)):
                    yield opened

    return playhead


def openai_resource(settings: Settings) -> dg.ResourceDefinition:
    """Return dagster-openai's resource, for assets that users add.

    Key and address come from our settings and never appear in Dagster's configuration, which its UI
    shows. The stages do not use it, because their spending is metered (decision 14).
    """

    @dg.resource(description="OpenAI client with the key and base URL from Playhead's settings.")
    def openai(context: dg.InitResourceContext) -> "Iterator[OpenAIResource]":
        from dagster_openai import OpenAIResource

        provider = settings.provider("openai")
        problem = missing_setting(settings, "openai")
        if provider is None or problem:
            raise ModelUnavailable(problem or "", remedy="docs/settings.md lists all settings.")
        key = provider.api_key.get_secret_value() if provider.api_key else "none"
        resource = OpenAIResource(api_key=key, base_url=provider.base_url)
        resource.setup_for_execution(context)
        try:
            yield resource
        finally:
            resource.teardown_after_execution(context)

    return openai

"""Build engines of providers from a model, its client, its rates and its catalog entry.

``registry.py`` maps names in settings to these engines.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from playhead.core.protocols.answerer import Answerer
from playhead.core.protocols.embedder import Embedder
from playhead.core.protocols.transcriber import SpeechRecognizer
from playhead.core.protocols.writer import Writer
from playhead.core.settings import Provider, Settings
from playhead.core.usage import Usage
from playhead.providers.client_protocol import ProviderClient
from playhead.providers.model_catalog import (
    Rates,
    billing_rates,
    pricing,
    speech_model,
    text_model,
    vector_model,
)
from playhead.providers.model_names import RemoteModel

#: Opens a provider client from the provider's name, the settings, and the function for the cost of
#: a model's usage in US dollars.
ClientFactory = Callable[[str, Settings, Callable[[str, Usage], float]], ProviderClient]

_CONCURRENT_PIECES = 4


@dataclass(frozen=True, slots=True)
class RemoteEngines:
    """Factory of the engines of providers.

    Each method raises ``ModelUnavailable`` for a provider that is missing in settings. Adapters are
    imported when they are built, since importing OpenAI's library takes most of a second.
    """

    settings: Settings
    client_factory: ClientFactory

    def recognizer(self, model: RemoteModel) -> SpeechRecognizer:
        """Build a speech recognizer.

        A server without an API key, which is taken to be self-hosted, gets one piece at a time.
        """
        from playhead.engines.transcription.openai import OpenAIRecognizer
        from playhead.providers.openai_client import create_client

        client = create_client(self.settings, model.provider)
        self_hosted = self._provider(model).api_key is None
        return OpenAIRecognizer(
            self._client(model),
            client,
            speech_model(model.model),
            rates=self._rates(model),
            concurrency=1 if self_hosted else _CONCURRENT_PIECES,
        )

    def writer(self, model: RemoteModel) -> Writer:
        """Build a writer."""
        from playhead.engines.writing.openai import OpenAIWriter
        from playhead.providers.openai_client import create_client

        client = create_client(self.settings, model.provider)
        row = text_model(model.model, of_openai=self._provider(model).base_url is None)
        return OpenAIWriter(self._client(model), client, row, rates=self._rates(model))

    def answerer(self, model: RemoteModel) -> Answerer:
        """Build an answerer."""
        from playhead.engines.answering.openai import OpenAIAnswerer
        from playhead.providers.openai_client import create_client

        client = create_client(self.settings, model.provider)
        row = text_model(model.model, of_openai=self._provider(model).base_url is None)
        return OpenAIAnswerer(self._client(model), client, row)

    def embedder(self, model: RemoteModel) -> Embedder:
        """Build an embedder."""
        from playhead.engines.embedding.openai import OpenAIEmbedder
        from playhead.providers.openai_client import create_client

        client = create_client(self.settings, model.provider)
        return OpenAIEmbedder(
            self._client(model),
            client,
            vector_model(model.model, of_openai=self._provider(model).base_url is None),
            rates=self._rates(model),
            org=self.settings.org,
            shortened=model.dimensions,
        )

    def _provider(self, model: RemoteModel) -> Provider:
        return self.settings.provider(model.provider) or Provider()

    def _rates(self, model: RemoteModel) -> Rates:
        return billing_rates(self._provider(model), model.model)

    def _client(self, model: RemoteModel) -> ProviderClient:
        return self.client_factory(model.provider, self.settings, pricing(self._provider(model)))

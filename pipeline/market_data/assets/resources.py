"""The provider as a Dagster resource."""

from __future__ import annotations

import dagster as dg

from pipeline.base.settings import load_settings
from pipeline.market_data.providers import Provider, ProviderOptions, provider_named
from pipeline.store.instruments import Listing


class ProviderResource(dg.ConfigurableResource[Provider]):
    """The provider that a setting selects, by its name alone.

    Keys are read from the settings when a run asks for them, so that Dagster, which keeps and shows what a
    resource is configured with, never sees one.

    Parameters
    ----------
    name
        Name of the provider; empty where the setting chooses none.
    variable
        The setting, for messages.
    """

    name: str
    variable: str = "FINTECH_PROVIDER"

    @property
    def is_chosen(self) -> bool:
        """Whether the setting names a provider."""
        return bool(self.name)

    @property
    def provider(self) -> Provider:
        """The provider behind the name."""
        return provider_named(self.name, ProviderOptions.of(load_settings()), self.variable)

    @property
    def notice(self) -> str | None:
        """What readers of its data must be told."""
        return self.provider.notice

    def listings(self) -> list[Listing]:
        """Its instruments, as the store registers them."""
        return [
            Listing(s.symbol, s.name, s.kind, s.sector, s.currency, s.exchange, self.name, s.price_scale)
            for s in self.provider.securities()
        ]

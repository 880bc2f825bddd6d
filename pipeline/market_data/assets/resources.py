"""The provider as a Dagster resource."""

from __future__ import annotations

import dagster as dg

from pipeline.market_data.providers import Provider, provider_named
from pipeline.store.instruments import Listing


class ProviderResource(dg.ConfigurableResource[Provider]):
    """The provider that ``FINTECH_PROVIDER`` selects."""

    name: str

    @property
    def provider(self) -> Provider:
        """The provider behind the name."""
        return provider_named(self.name)

    @property
    def notice(self) -> str | None:
        """What readers of its data must be told."""
        return self.provider.notice

    def listings(self) -> list[Listing]:
        """Its instruments, as the store registers them."""
        return [
            Listing(s.symbol, s.name, s.kind, s.sector, s.currency, s.exchange, self.name)
            for s in self.provider.securities()
        ]

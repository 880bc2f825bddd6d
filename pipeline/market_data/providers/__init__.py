"""Providers of market data, one file each, and the registry that ``FINTECH_PROVIDER`` selects from."""

from __future__ import annotations

from collections.abc import Callable

from pipeline.base.errors import ConfigurationError
from pipeline.market_data.providers.bundled import BundledProvider
from pipeline.market_data.providers.errors import PayloadRefusedError, ProviderError
from pipeline.market_data.providers.protocol import (
    FetchRequest,
    FetchResult,
    FxRates,
    InterestRates,
    Offer,
    Payload,
    Provider,
    Security,
)

__all__ = [
    "PROVIDERS",
    "FetchRequest",
    "FetchResult",
    "FxRates",
    "InterestRates",
    "Offer",
    "Payload",
    "PayloadRefusedError",
    "Provider",
    "ProviderError",
    "Security",
    "provider_named",
]

PROVIDERS: dict[str, Callable[[], Provider]] = {
    "bundled": BundledProvider,
}


def provider_named(name: str) -> Provider:
    """The provider of a name.

    Raises
    ------
    ConfigurationError
        If there is none, with the names that exist.
    """
    if name not in PROVIDERS:
        raise ConfigurationError(
            f"FINTECH_PROVIDER={name!r} is not a provider",
            f"Use one of: {', '.join(sorted(PROVIDERS))}.",
            exit_code=2,
        )
    return PROVIDERS[name]()

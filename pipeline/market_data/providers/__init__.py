"""Providers of market data, one file each, and the registry that the settings select from."""

from __future__ import annotations

from collections.abc import Callable

from pipeline.base.errors import ConfigurationError
from pipeline.market_data.providers.bundled import BundledProvider
from pipeline.market_data.providers.errors import PayloadRefusedError, ProviderError
from pipeline.market_data.providers.options import NO_OPTIONS, ProviderOptions, ProviderSettings
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
    "ProviderOptions",
    "ProviderSettings",
    "Security",
    "provider_named",
    "require_providers",
]


# A vendor's module is imported when it is selected: an HTTP client takes a quarter of a second.


def _bundled(_: ProviderOptions) -> Provider:
    return BundledProvider()


def _csv(options: ProviderOptions) -> Provider:
    from pipeline.market_data.providers.csv_folder import CsvFolderProvider  # noqa: PLC0415

    return CsvFolderProvider(options)


def _ecb(options: ProviderOptions) -> Provider:
    from pipeline.market_data.providers.ecb import EcbProvider  # noqa: PLC0415

    return EcbProvider(options)


def _fred(options: ProviderOptions) -> Provider:
    from pipeline.market_data.providers.fred import FredProvider  # noqa: PLC0415

    return FredProvider(options)


def _tiingo(options: ProviderOptions) -> Provider:
    from pipeline.market_data.providers.tiingo import TiingoProvider  # noqa: PLC0415

    return TiingoProvider(options)


def _yahoo(options: ProviderOptions) -> Provider:
    from pipeline.market_data.providers.yahoo import YahooProvider  # noqa: PLC0415

    return YahooProvider(options)


PROVIDERS: dict[str, Callable[[ProviderOptions], Provider]] = {
    "bundled": _bundled,
    "csv": _csv,
    "ecb": _ecb,
    "fred": _fred,
    "tiingo": _tiingo,
    "yahoo": _yahoo,
}


def provider_named(name: str, options: ProviderOptions = NO_OPTIONS, variable: str = "FINTECH_PROVIDER") -> Provider:
    """The provider of a name.

    Parameters
    ----------
    options
        What it may need, such as a key.
    variable
        Setting that gave the name, for the message.

    Raises
    ------
    ConfigurationError
        If there is none, with the names that exist; or if it lacks what it needs.
    """
    if name not in PROVIDERS:
        raise ConfigurationError(
            f"{variable}={name!r} is not a provider", f"Use one of: {', '.join(sorted(PROVIDERS))}.", exit_code=2
        )
    return PROVIDERS[name](options)


def require_providers(settings: ProviderSettings) -> None:
    """Refuse, before anything starts, providers that cannot work as they are set.

    Raises
    ------
    ConfigurationError
        If one does not exist, lacks what it needs, or has not what it is chosen for.
    """
    chosen: tuple[tuple[str, str | None, Offer], ...] = (
        ("FINTECH_PROVIDER", settings.provider, "bars"),
        ("FINTECH_FX_PROVIDER", settings.fx_provider, "fx_rates"),
        ("FINTECH_INTEREST_PROVIDER", settings.interest_provider, "interest_rates"),
        ("FINTECH_SECOND_PROVIDER", settings.second_provider, "bars"),
    )
    options = ProviderOptions.of(settings)
    for variable, name, offer in chosen:
        if name is not None and offer not in provider_named(name, options, variable).offers:
            raise ConfigurationError(
                f"{variable}={name!r} has no {offer.replace('_', ' ')}",
                "docs/providers.md lists what each provider has.",
                exit_code=2,
            )

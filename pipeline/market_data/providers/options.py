"""What providers are told: the part of the settings that concerns them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, Self

from pydantic import SecretStr

from pipeline.base.errors import ConfigurationError


class ProviderSettings(Protocol):
    """The fields of `Settings` that are read here, so that providers need not know the environment."""

    @property
    def provider(self) -> str: ...  # noqa: D102
    @property
    def fx_provider(self) -> str: ...  # noqa: D102
    @property
    def interest_provider(self) -> str | None: ...  # noqa: D102
    @property
    def second_provider(self) -> str | None: ...  # noqa: D102
    @property
    def symbols(self) -> tuple[str, ...]: ...  # noqa: D102
    @property
    def csv_dir(self) -> Path | None: ...  # noqa: D102
    @property
    def tiingo_api_key(self) -> SecretStr | None: ...  # noqa: D102
    @property
    def fred_api_key(self) -> SecretStr | None: ...  # noqa: D102


@dataclass(frozen=True, slots=True)
class ProviderOptions:
    """What a provider may need.

    Parameters
    ----------
    symbols
        Instruments of a vendor that covers more than anyone wants.
    csv_dir
        Folder of a user's own files.
    tiingo_api_key, fred_api_key
        Keys; never shown.
    """

    symbols: tuple[str, ...] = ()
    csv_dir: Path | None = None
    tiingo_api_key: SecretStr | None = None
    fred_api_key: SecretStr | None = None

    @classmethod
    def of(cls, settings: ProviderSettings) -> Self:
        """The options that settings hold."""
        return cls(settings.symbols, settings.csv_dir, settings.tiingo_api_key, settings.fred_api_key)

    def required_symbols(self, provider: str) -> tuple[str, ...]:
        """The symbols, for a provider that cannot work without.

        Raises
        ------
        ConfigurationError
            If there are none.
        """
        if not self.symbols:
            raise ConfigurationError(
                f"Provider {provider!r} is not told which instruments to read: FINTECH_SYMBOLS is not set",
                "Name them, such as FINTECH_SYMBOLS=AAPL,MSFT,SPY.",
                exit_code=2,
            )
        return self.symbols


NO_OPTIONS = ProviderOptions()
"""For a provider that needs none."""

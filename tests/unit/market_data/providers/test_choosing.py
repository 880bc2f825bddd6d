"""Which provider the settings choose, what it lacks, and who gets to see its key."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from pydantic import SecretStr

from pipeline.base.errors import ConfigurationError
from pipeline.base.settings import Settings, load_settings
from pipeline.market_data.assets.resources import ProviderResource
from pipeline.market_data.definitions import build_definitions, chosen_providers
from pipeline.market_data.providers import PROVIDERS, Provider, ProviderOptions, provider_named, require_providers
from pipeline.market_data.providers.bundled import BundledProvider
from pipeline.market_data.providers.tiingo import TiingoProvider
from pipeline.market_data.providers.yahoo import YahooProvider

KEY = "0123456789abcdef0123456789abcdef"


@pytest.fixture(autouse=True)
def no_env_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(Settings.model_config, "env_file", None)


def configured(name: str, folder: Path) -> Provider:
    options = ProviderOptions(("AAPL",), folder, SecretStr(KEY), SecretStr(KEY))
    return YahooProvider(options, lambda *_: NotImplemented) if name == "yahoo" else provider_named(name, options)


@pytest.mark.parametrize("name", PROVIDERS)
def test_a_provider_has_the_name_that_selects_it_and_something_to_offer(name: str, tmp_path: Path) -> None:
    provider = configured(name, tmp_path)
    assert provider.name == name
    assert provider.offers
    if "bars" not in provider.offers:
        assert provider.securities() == ()


@pytest.mark.parametrize("name", PROVIDERS)
def test_no_provider_shows_its_key(name: str, tmp_path: Path) -> None:
    provider = configured(name, tmp_path)
    assert KEY not in repr(provider) + repr(ProviderOptions(tiingo_api_key=SecretStr(KEY))) + str(provider.notice)


def test_every_provider_is_documented() -> None:
    text = (Path(__file__).parents[4] / "docs" / "providers.md").read_text()
    assert [name for name in PROVIDERS if f"`{name}`" not in text] == []


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"FINTECH_PROVIDER": "reuters"}, "FINTECH_PROVIDER='reuters' is not a provider"),
        ({"FINTECH_FX_PROVIDER": "reuters"}, "FINTECH_FX_PROVIDER='reuters' is not a provider"),
        ({"FINTECH_PROVIDER": "tiingo", "FINTECH_SYMBOLS": "AAPL"}, "TIINGO_API_KEY is not set"),
        ({"FINTECH_PROVIDER": "tiingo", "TIINGO_API_KEY": KEY}, "FINTECH_SYMBOLS is not set"),
        ({"FINTECH_SECOND_PROVIDER": "tiingo", "FINTECH_SYMBOLS": "AAPL"}, "TIINGO_API_KEY is not set"),
        ({"FINTECH_PROVIDER": "csv"}, "FINTECH_CSV_DIR is not set"),
        ({"FINTECH_PROVIDER": "csv", "FINTECH_CSV_DIR": "/no/such/folder"}, "/no/such/folder, which is no folder"),
        ({"FINTECH_PROVIDER": "ecb"}, "FINTECH_PROVIDER='ecb' has no bars"),
        ({"FINTECH_FX_PROVIDER": "fred"}, "FINTECH_FX_PROVIDER='fred' has no fx rates"),
        ({"FINTECH_INTEREST_PROVIDER": "bundled"}, "FINTECH_INTEREST_PROVIDER='bundled' has no interest rates"),
    ],
)
def test_what_cannot_work_is_refused_before_anything_starts(
    variables: dict[str, str], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ConfigurationError) as caught:
        require_providers(load_settings())
    assert said in caught.value.cause
    assert caught.value.remedy
    assert caught.value.exit_code == 2
    assert KEY not in str(caught.value)


@pytest.mark.parametrize(
    "variables",
    [
        {},
        {"FINTECH_PROVIDER": "tiingo", "FINTECH_SYMBOLS": "AAPL", "TIINGO_API_KEY": KEY, "FINTECH_FX_PROVIDER": "ecb"},
        {"FINTECH_INTEREST_PROVIDER": "fred"},
        {"FINTECH_INTEREST_PROVIDER": "fred", "FRED_API_KEY": KEY},
    ],
)
def test_what_can_work_passes(variables: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    require_providers(load_settings())


# Dagster ---------------------------------------------------------------------------------------------------


def test_a_resource_reads_the_key_when_it_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    resource = ProviderResource(name="tiingo")
    monkeypatch.setenv("TIINGO_API_KEY", KEY)
    monkeypatch.setenv("FINTECH_SYMBOLS", "AAPL,MSFT")
    assert isinstance(resource.provider, TiingoProvider)
    assert isinstance(ProviderResource(name="bundled").provider, BundledProvider)


def test_dagster_never_sees_a_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TIINGO_API_KEY", KEY)
    monkeypatch.setenv("FRED_API_KEY", KEY)
    monkeypatch.setenv("FINTECH_PROVIDER", "tiingo")
    monkeypatch.setenv("FINTECH_INTEREST_PROVIDER", "fred")
    monkeypatch.setenv("FINTECH_SYMBOLS", "AAPL")
    definitions = build_definitions()
    resources = definitions.resources or {}
    chosen = {key: value for key, value in resources.items() if isinstance(value, ProviderResource)}
    assert {key: value.name for key, value in chosen.items()} == {
        "provider": "tiingo",
        "fx_provider": "bundled",
        "interest_provider": "fred",
        "second_provider": "",
    }
    assert not chosen["second_provider"].is_chosen
    shown: list[Any] = [value.model_dump_json() + repr(value) for value in chosen.values()]
    repository = definitions.get_repository_def()
    shown += [repr(resource.config_schema.default_value) for resource in repository.get_top_level_resources().values()]
    assert KEY not in "".join(shown)


def test_a_missing_key_names_the_setting_that_chose_the_provider(monkeypatch: pytest.MonkeyPatch) -> None:
    resources = chosen_providers(load_settings())
    with pytest.raises(ConfigurationError, match="FINTECH_SECOND_PROVIDER='' is not a provider"):
        _ = resources["second_provider"].provider
    assert isinstance(resources["provider"], dg.ConfigurableResource)

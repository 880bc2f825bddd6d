"""What the environment may set, how it is refused, and that nobody sees the secrets."""

from __future__ import annotations

import traceback
from datetime import date
from pathlib import Path

import pytest
from pydantic import Field, SecretStr, ValidationError

from pipeline.base import settings as settings_module
from pipeline.base.compiled_code import compiled_code_folder
from pipeline.base.errors import ConfigurationError
from pipeline.base.settings import (
    PROJECT_ROOT,
    SECRET_VARIABLES,
    Settings,
    env_name,
    inherited_environment,
    load_settings,
    process_environment,
)

SECRET = "correct-horse-battery-staple"
VARIABLES = [env_name(field) for field in Settings.model_fields]


@pytest.fixture(autouse=True)
def empty_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither the shell nor a developer's .env takes part."""
    for variable in VARIABLES:
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setitem(Settings.model_config, "env_file", None)


def test_without_an_environment_everything_is_local() -> None:
    settings = load_settings()
    assert settings.is_local
    assert settings.provider == "bundled"
    assert settings.host == "127.0.0.1"
    assert settings.data_dir == PROJECT_ROOT / ".data"
    assert (settings.database_url, settings.port, settings.port_offset) == (None, None, 0)


@pytest.mark.parametrize(
    ("variable", "text", "field", "value"),
    [
        ("FINTECH_ENV", "production", "environment", "production"),
        ("FINTECH_DATA_DIR", "/srv/data", "data_dir", Path("/srv/data")),
        ("FINTECH_PROVIDER", "other", "provider", "other"),
        ("FINTECH_FX_PROVIDER", "other", "fx_provider", "other"),
        ("FINTECH_INTEREST_PROVIDER", "other", "interest_provider", "other"),
        ("FINTECH_SECOND_PROVIDER", "other", "second_provider", "other"),
        ("FINTECH_SYMBOLS", " MSFT, BRK-B,,AAPL,MSFT ", "symbols", ("MSFT", "BRK-B", "AAPL")),
        ("FINTECH_CSV_DIR", "/srv/prices", "csv_dir", Path("/srv/prices")),
        ("TIINGO_API_KEY", SECRET, "tiingo_api_key", SecretStr(SECRET)),
        ("FRED_API_KEY", SECRET, "fred_api_key", SecretStr(SECRET)),
        ("FINTECH_ALERT_WEBHOOK_URL", SECRET, "alert_webhook_url", SecretStr(SECRET)),
        ("FINTECH_ALERT_FORMAT", "slack", "alert_format", "slack"),
        ("FINTECH_ALERT_ROUTING_KEY", SECRET, "alert_routing_key", SecretStr(SECRET)),
        ("FINTECH_COSTLY_STRATEGIES_SINCE", "1992-01-01", "costly_strategies_since", date(1992, 1, 1)),
        ("FINTECH_STORED_MODELS", "gbm, t_copula,gbm", "stored_models", ("gbm", "t_copula")),
        ("FINTECH_EVENT_LOG_DAYS", "30", "event_log_days", 30),
        ("FINTECH_AUDIT_DAYS", "3650", "audit_days", 3650),
        ("FINTECH_PUBLIC_URL", "http://127.0.0.1:3000", "public_url", "http://127.0.0.1:3000"),
        ("FINTECH_DAGSTER_URL", "https://h/dagster", "dagster_url", "https://h/dagster"),
        ("FINTECH_PORT_OFFSET", "50000", "port_offset", 50_000),
        ("FINTECH_OWN_CORE", "false", "own_core", False),
        ("DATABASE_URL", "postgresql://h/db", "database_url", SecretStr("postgresql://h/db")),
        ("DAGSTER_DATABASE_URL", "postgresql://h/d", "dagster_database_url", SecretStr("postgresql://h/d")),
        ("DATABASE_SSLMODE", "verify-full", "database_sslmode", "verify-full"),
        ("DATABASE_SSLROOTCERT", "/srv/ca.pem", "database_sslrootcert", Path("/srv/ca.pem")),
        ("JWT_SECRET", SECRET, "jwt_secret", SecretStr(SECRET)),
        ("SERVICE_API_KEY", SECRET, "service_api_key", SecretStr(SECRET)),
        ("RISK_ENGINE_URL", "http://risk:8000", "risk_engine_url", "http://risk:8000"),
        ("PORTFOLIO_SERVICE_URL", "https://h", "portfolio_service_url", "https://h"),
        ("MARKET_DATA_URL", "http://127.0.0.1:8002/", "market_data_url", "http://127.0.0.1:8002/"),
        ("AI_ENGINE_URL", "http://[::1]:8003", "ai_engine_url", "http://[::1]:8003"),
        ("FINTECH_API_KEY", SECRET, "api_key", SecretStr(SECRET)),
        ("HOST", "0.0.0.0", "host", "0.0.0.0"),
        ("PORT", "65535", "port", 65_535),
        ("LOG_LEVEL", "debug", "log_level", "debug"),
        ("FINTECH_ACCESS_LOG", "false", "access_log", False),
        ("FINTECH_METRICS", "0", "metrics", False),
        ("FINTECH_SIMULATION_WORKERS", "3", "simulation_workers", 3),
        ("SIMULATION_SCHEDULER", "tcp://dask:8786", "simulation_scheduler", "tcp://dask:8786"),
        ("FINTECH_WORKERS", "2", "workers", 2),
        ("FINTECH_RATE_LIMIT", "5/minute", "rate_limit", "5/minute"),
        ("FINTECH_TRUSTED_PROXIES", "10.0.0.0/8, ::1", "trusted_proxies", ("10.0.0.0/8", "::1")),
        ("FINTECH_CORS_ORIGINS", "https://a.example", "cors_origins", ("https://a.example",)),
        ("FINTECH_CACHE_MIB", "0", "cache_mib", 0),
        ("FINTECH_CACHE_SECONDS", "1.5", "cache_seconds", 1.5),
        ("REDIS_URL", "redis://:p@h/0", "redis_url", SecretStr("redis://:p@h/0")),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://h:4318", "otlp_endpoint", "http://h:4318"),
        ("OTEL_TRACES_SAMPLER_ARG", "0.5", "trace_ratio", 0.5),
        ("SENTRY_DSN", "https://key@h/1", "sentry_dsn", SecretStr("https://key@h/1")),
        ("DAGSTER_CURRENT_IMAGE", "acme/api@sha256:0", "current_image", "acme/api@sha256:0"),
    ],
)
def test_a_variable_sets_its_field(
    variable: str, text: str, field: str, value: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, text)
    assert getattr(load_settings(), field) == value
    assert env_name(field) == variable


def test_every_variable_has_a_case_above() -> None:
    [mark] = [mark for mark in test_a_variable_sets_its_field.pytestmark if mark.name == "parametrize"]
    assert sorted(case[0] for case in mark.args[1]) == sorted(VARIABLES)


@pytest.mark.parametrize("variable", VARIABLES)
def test_an_empty_variable_counts_as_not_set(variable: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(variable, "")
    assert load_settings() == Settings()


def test_the_file_is_read_and_the_environment_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / ".env"
    file.write_text("LOG_LEVEL=error\nFINTECH_PROVIDER=other\nUNKNOWN=1\n")
    monkeypatch.setitem(Settings.model_config, "env_file", file)
    monkeypatch.setenv("FINTECH_PROVIDER", "bundled")
    settings = load_settings()
    assert (settings.log_level, settings.provider) == ("error", "bundled")


def test_settings_cannot_be_changed() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        load_settings().provider = "other"  # type: ignore[misc]


# Refusals --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("variable", "text"),
    [
        ("FINTECH_ENV", "prod"),
        ("FINTECH_ALERT_FORMAT", "teams"),
        ("FINTECH_COSTLY_STRATEGIES_SINCE", "always"),
        ("FINTECH_STORED_MODELS", "crystal_ball"),
        ("FINTECH_EVENT_LOG_DAYS", "6"),
        ("FINTECH_AUDIT_DAYS", "29"),
        ("FINTECH_DAGSTER_URL", "http://user:password@h/dagster"),
        ("FINTECH_DAGSTER_URL", "h/dagster"),
        ("FINTECH_PORT_OFFSET", "-1"),
        ("FINTECH_PORT_OFFSET", "50001"),
        ("FINTECH_PORT_OFFSET", "many"),
        ("FINTECH_OWN_CORE", "some"),
        ("RISK_ENGINE_URL", "risk:8000"),
        ("MARKET_DATA_URL", "http://user@h"),
        ("AI_ENGINE_URL", "http://h/api/v1"),
        ("PORT", "0"),
        ("PORT", "65536"),
        ("PORT", "80.5"),
        ("LOG_LEVEL", "INFO"),
        ("FINTECH_SIMULATION_WORKERS", "-1"),
        ("SIMULATION_SCHEDULER", "http://dask:8786"),
        ("SIMULATION_SCHEDULER", "tcp://dask"),
        ("FINTECH_WORKERS", "0"),
        ("FINTECH_CACHE_MIB", "-1"),
        ("FINTECH_CACHE_SECONDS", "0"),
        ("FINTECH_CACHE_SECONDS", "inf"),
        ("OTEL_TRACES_SAMPLER_ARG", "1.1"),
    ],
)
def test_a_value_that_cannot_be_used_is_named_with_its_variable(
    variable: str, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, text)
    with pytest.raises(ConfigurationError) as caught:
        load_settings()
    assert caught.value.cause.startswith(f"{variable}='{text}' cannot be used: ")
    assert ".env" in caught.value.remedy
    assert caught.value.exit_code == 2
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        ("gbm,Gbm", "FINTECH_STORED_MODELS='Gbm' cannot be used: Input should be 'stationary_bootstrap', 'student_t',"),
        (",", "FINTECH_STORED_MODELS=() cannot be used: Tuple should have at least 1 item"),
    ],
)
def test_a_model_that_cannot_be_stored_is_named(text: str, cause: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FINTECH_STORED_MODELS", text)
    with pytest.raises(ConfigurationError) as caught:
        load_settings()
    assert caught.value.cause.startswith(cause)


def test_a_file_that_is_no_text_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / ".env"
    file.write_bytes(b"HOST=\xff\xfe\n")
    monkeypatch.setitem(Settings.model_config, "env_file", file)
    with pytest.raises(ConfigurationError, match=r"\.env is not UTF-8 text"):
        load_settings()


def test_what_is_required_and_missing_is_named_by_its_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FINTECH_ENV", "production")
    monkeypatch.setenv("SERVICE_API_KEY", SECRET)
    with pytest.raises(ConfigurationError) as caught:
        load_settings().require("database_url", "service_api_key", "jwt_secret")
    assert caught.value.cause == (
        "FINTECH_ENV=production needs DATABASE_URL, JWT_SECRET, which the environment does not set"
    )
    assert caught.value.exit_code == 2


def test_what_is_required_and_set_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JWT_SECRET", SECRET)
    load_settings().require("jwt_secret", "environment")
    load_settings().require()


# Secrets ---------------------------------------------------------------------------------------------------


def test_the_secret_variables() -> None:
    keys = {"JWT_SECRET", "SERVICE_API_KEY", "TIINGO_API_KEY", "FRED_API_KEY", "FINTECH_API_KEY"}
    keys |= {"FINTECH_ALERT_ROUTING_KEY"}
    addresses = {"DATABASE_URL", "DAGSTER_DATABASE_URL", "REDIS_URL", "SENTRY_DSN", "FINTECH_ALERT_WEBHOOK_URL"}
    assert addresses | keys == SECRET_VARIABLES


@pytest.mark.parametrize("variable", sorted(SECRET_VARIABLES))
def test_a_secret_is_not_shown_with_the_settings(variable: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(variable, SECRET)
    settings = load_settings()
    assert SECRET not in repr(settings) + str(settings) + settings.model_dump_json() + repr(settings.model_dump())


@pytest.mark.parametrize("variable", sorted(SECRET_VARIABLES))
def test_a_secret_is_not_shown_beside_another_error(variable: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(variable, SECRET)
    monkeypatch.setenv("PORT", "http")
    assert SECRET not in refusal()


class StrictSettings(Settings):
    """Settings that want a long secret, as a later version may."""

    jwt_secret: SecretStr | None = Field(None, min_length=100, validation_alias="JWT_SECRET")


def test_a_secret_that_is_refused_itself_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(StrictSettings.model_config, "env_file", None)
    monkeypatch.setattr(settings_module, "Settings", StrictSettings)
    monkeypatch.setenv("JWT_SECRET", SECRET)
    told = refusal()
    assert "JWT_SECRET cannot be used" in told
    assert SECRET not in told


def refusal() -> str:
    """Everything that a user could see of a refusal, the traceback included."""
    with pytest.raises(ConfigurationError) as caught:
        load_settings()
    return "".join(traceback.format_exception(caught.value))


# Child processes -------------------------------------------------------------------------------------------


def test_child_processes_are_told_where_everything_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FINTECH_DATA_DIR", "/srv/data")
    variables = process_environment(load_settings(), "postgresql://h/app", "postgresql://h/dagster")
    assert variables["DATABASE_URL"] == "postgresql://h/app"
    assert variables["DAGSTER_DATABASE_URL"] == "postgresql://h/dagster"
    assert variables["DAGSTER_HOME"] == "/srv/data/dagster"
    assert variables["DAGSTER_EVENT_BATCH_SIZE"] == "1000"
    assert variables["NUMBA_CACHE_DIR"] == str(compiled_code_folder(Path("/srv/data")))
    assert all(isinstance(value, str) for value in variables.values())


def test_the_inherited_environment_is_a_copy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOST", "127.0.0.2")
    inherited_environment()["HOST"] = "changed"
    assert inherited_environment()["HOST"] == "127.0.0.2"

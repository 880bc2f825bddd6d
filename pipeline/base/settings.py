"""The only reader of the environment. Everything else receives a `Settings`."""

from __future__ import annotations

import os
from datetime import date
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, SecretStr, StringConstraints, ValidationError, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from pipeline.base.compiled_code import compiled_code_folder
from pipeline.base.errors import ConfigurationError

PROJECT_ROOT = Path(__file__).resolve().parents[2]
"""Where ``workspace.yaml`` and ``dagster.yaml`` lie."""

Environment = Literal["local", "staging", "production"]
SimulationModel = Literal["stationary_bootstrap", "student_t", "gbm", "filtered_historical", "t_copula"]
"""Name in ``pipeline.simulation.models.MODELS``, which this layer cannot see (a test keeps the two equal)."""
SslMode = Literal["disable", "allow", "prefer", "require", "verify-ca", "verify-full"]
"""As libpq names them; only the last two know whom they talk to."""
_HTTP_HOST = r"^https?://[A-Za-z0-9._\[\]:-]+"
HttpAddress = Annotated[str, StringConstraints(pattern=f"{_HTTP_HOST}/?$")]
"""Scheme, host and port, without path, user or password."""
PagesAddress = Annotated[str, StringConstraints(pattern=rf"{_HTTP_HOST}(/[A-Za-z0-9._-]+)*/?$")]
"""The same, with a path."""
SchedulerAddress = Annotated[str, StringConstraints(pattern=r"^(tcp|tls)://[A-Za-z0-9._\[\]:-]+:[0-9]{1,5}$")]
"""Of Dask's scheduler."""


class Settings(BaseSettings):
    """What the environment may set. `.env.example` lists the same names (a test keeps the two equal)."""

    model_config = SettingsConfigDict(
        env_file=PROJECT_ROOT / ".env", env_ignore_empty=True, extra="ignore", frozen=True
    )

    environment: Environment = Field("local", validation_alias="FINTECH_ENV")
    data_dir: Path = Field(PROJECT_ROOT / ".data", validation_alias="FINTECH_DATA_DIR")
    provider: str = Field("bundled", validation_alias="FINTECH_PROVIDER")
    fx_provider: str = Field("bundled", validation_alias="FINTECH_FX_PROVIDER")
    interest_provider: str | None = Field(None, validation_alias="FINTECH_INTEREST_PROVIDER")
    second_provider: str | None = Field(None, validation_alias="FINTECH_SECOND_PROVIDER")
    symbols: Annotated[tuple[str, ...], NoDecode] = Field((), validation_alias="FINTECH_SYMBOLS")
    csv_dir: Path | None = Field(None, validation_alias="FINTECH_CSV_DIR")
    tiingo_api_key: SecretStr | None = Field(None, validation_alias="TIINGO_API_KEY")
    fred_api_key: SecretStr | None = Field(None, validation_alias="FRED_API_KEY")
    alert_webhook_url: SecretStr | None = Field(None, validation_alias="FINTECH_ALERT_WEBHOOK_URL")
    alert_format: Literal["json", "slack", "pagerduty"] = Field("json", validation_alias="FINTECH_ALERT_FORMAT")
    alert_routing_key: SecretStr | None = Field(None, validation_alias="FINTECH_ALERT_ROUTING_KEY")
    costly_strategies_since: date = Field(date(2018, 1, 1), validation_alias="FINTECH_COSTLY_STRATEGIES_SINCE")
    stored_models: Annotated[tuple[SimulationModel, ...], NoDecode] = Field(
        ("stationary_bootstrap", "student_t"), min_length=1, validation_alias="FINTECH_STORED_MODELS"
    )
    event_log_days: int = Field(90, ge=7, le=36_500, validation_alias="FINTECH_EVENT_LOG_DAYS")
    audit_days: int | None = Field(None, ge=30, le=36_500, validation_alias="FINTECH_AUDIT_DAYS")
    public_url: HttpAddress | None = Field(None, validation_alias="FINTECH_PUBLIC_URL")
    dagster_url: PagesAddress | None = Field(None, validation_alias="FINTECH_DAGSTER_URL")
    port_offset: int = Field(0, ge=0, le=50_000, validation_alias="FINTECH_PORT_OFFSET")
    database_url: SecretStr | None = Field(None, validation_alias="DATABASE_URL")
    dagster_database_url: SecretStr | None = Field(None, validation_alias="DAGSTER_DATABASE_URL")
    database_sslmode: SslMode | None = Field(None, validation_alias="DATABASE_SSLMODE")
    database_sslrootcert: Path | None = Field(None, validation_alias="DATABASE_SSLROOTCERT")
    jwt_secret: SecretStr | None = Field(None, validation_alias="JWT_SECRET")
    service_api_key: SecretStr | None = Field(None, validation_alias="SERVICE_API_KEY")
    risk_engine_url: HttpAddress | None = Field(None, validation_alias="RISK_ENGINE_URL")
    portfolio_service_url: HttpAddress | None = Field(None, validation_alias="PORTFOLIO_SERVICE_URL")
    market_data_url: HttpAddress | None = Field(None, validation_alias="MARKET_DATA_URL")
    ai_engine_url: HttpAddress | None = Field(None, validation_alias="AI_ENGINE_URL")
    api_key: SecretStr | None = Field(None, validation_alias="FINTECH_API_KEY")
    host: str = Field("127.0.0.1", validation_alias="HOST")
    port: int | None = Field(None, ge=1, le=65_535, validation_alias="PORT")
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", validation_alias="LOG_LEVEL")
    access_log: bool = Field(True, validation_alias="FINTECH_ACCESS_LOG")
    metrics: bool = Field(True, validation_alias="FINTECH_METRICS")
    simulation_workers: int = Field(1, ge=0, le=64, validation_alias="FINTECH_SIMULATION_WORKERS")
    simulation_scheduler: SchedulerAddress | None = Field(None, validation_alias="SIMULATION_SCHEDULER")
    workers: int = Field(1, ge=1, le=64, validation_alias="FINTECH_WORKERS")
    own_core: bool = Field(True, validation_alias="FINTECH_OWN_CORE")
    cache_mib: int = Field(32, ge=0, le=65_536, validation_alias="FINTECH_CACHE_MIB")
    cache_seconds: float = Field(300.0, gt=0, allow_inf_nan=False, validation_alias="FINTECH_CACHE_SECONDS")
    redis_url: SecretStr | None = Field(None, validation_alias="REDIS_URL")
    rate_limit: str | None = Field(None, validation_alias="FINTECH_RATE_LIMIT")
    trusted_proxies: Annotated[tuple[str, ...], NoDecode] = Field((), validation_alias="FINTECH_TRUSTED_PROXIES")
    cors_origins: Annotated[tuple[str, ...], NoDecode] = Field((), validation_alias="FINTECH_CORS_ORIGINS")
    otlp_endpoint: str | None = Field(None, validation_alias="OTEL_EXPORTER_OTLP_ENDPOINT")
    trace_ratio: float = Field(0.01, ge=0, le=1, validation_alias="OTEL_TRACES_SAMPLER_ARG")
    sentry_dsn: SecretStr | None = Field(None, validation_alias="SENTRY_DSN")
    current_image: str | None = Field(None, validation_alias="DAGSTER_CURRENT_IMAGE")

    @field_validator("symbols", "stored_models", "trusted_proxies", "cors_origins", mode="before")
    @classmethod
    def _separated_by_commas(cls, given: object) -> object:
        """``AAPL, MSFT`` as several values, each once and in the order given."""
        if not isinstance(given, str):
            return given
        return tuple(dict.fromkeys(value.strip() for value in given.split(",") if value.strip()))

    @cached_property
    def app_version(self) -> str:
        """Version of the installed distribution."""
        return version("fintech-platform")

    @property
    def is_local(self) -> bool:
        """Whether this is a developer's own machine, where no login is asked on loopback."""
        return self.environment == "local"

    def require(self, *names: str) -> None:
        """Refuse to go on while one of the named fields is empty.

        Raises
        ------
        ConfigurationError
            Naming each missing environment variable.
        """
        missing = [env_name(name) for name in names if getattr(self, name) is None]
        if missing:
            raise ConfigurationError(
                f"FINTECH_ENV={self.environment} needs {', '.join(missing)}, which the environment does not set",
                "Set each of them (see .env.example), or use FINTECH_ENV=local on your own machine.",
                exit_code=2,
            )


def env_name(field: str) -> str:
    """The environment variable behind a field of `Settings`."""
    return str(Settings.model_fields[field].validation_alias)


SECRET_VARIABLES = frozenset(
    env_name(name) for name, field in Settings.model_fields.items() if field.annotation == SecretStr | None
)
"""Variables whose value no message may show."""


def load_settings() -> Settings:
    """Read the environment and ``.env``.

    Raises
    ------
    ConfigurationError
        Naming the first variable whose value cannot be used.
    """
    try:
        return Settings()
    except UnicodeDecodeError as error:
        raise ConfigurationError(f".env is not UTF-8 text: {error.reason}", "Save it as UTF-8.", exit_code=2) from None
    except ValidationError as error:  # pydantic's own report runs over several lines and shows values
        first = error.errors()[0]
        variable = str(first["loc"][0])
        seen = variable if variable in SECRET_VARIABLES else f"{variable}={first['input']!r}"
        raise ConfigurationError(
            f"{seen} cannot be used: {first['msg']}",
            "Correct it in the environment or in .env (see .env.example).",
            exit_code=2,
        ) from None


def process_environment(settings: Settings, database_url: str, dagster_url: str) -> dict[str, str]:
    """What a process of the platform, this one or a child, needs besides the inherited environment.

    Parameters
    ----------
    database_url, dagster_url
        Of the application's and of Dagster's own database on the same server.
    """
    home = settings.data_dir / "dagster"
    return {
        "DATABASE_URL": database_url,
        "DAGSTER_DATABASE_URL": dagster_url,
        "DAGSTER_HOME": str(home),
        # Without it each materialisation event is a round trip of its own (ADR 0001).
        "DAGSTER_EVENT_BATCH_SIZE": "1000",
        "DAGSTER_DISABLE_TELEMETRY": "yes",
        "NUMBA_CACHE_DIR": str(compiled_code_folder(settings.data_dir)),
    }


def export_environment(variables: dict[str, str]) -> None:
    """Set variables for this process and its children, before the libraries that read them are imported."""
    os.environ.update(variables)


def inherited_environment() -> dict[str, str]:
    """A copy of this process's environment, for a child process."""
    return dict(os.environ)

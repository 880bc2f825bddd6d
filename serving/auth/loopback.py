"""Without a login only this machine is served."""

from __future__ import annotations

from ipaddress import ip_address

from pipeline.base.errors import ConfigurationError
from pipeline.base.settings import Settings


def require_loopback_without_login(settings: Settings) -> None:
    """Refuse to serve without a login where other machines could ask.

    Raises
    ------
    ConfigurationError
        If the environment is local and the host is not a loopback address.
    """
    if settings.is_local and not is_loopback(settings.host):
        raise ConfigurationError(
            f"HOST={settings.host} is within reach of other machines, and FINTECH_ENV=local asks for no login",
            "Set HOST=127.0.0.1, or FINTECH_ENV=staging with JWT_SECRET and SERVICE_API_KEY.",
            exit_code=2,
        )


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches a host; a name other than localhost may lead anywhere."""
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False

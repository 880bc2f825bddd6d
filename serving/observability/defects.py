"""Report defects to Sentry, and nothing else: its integrations cost 250 µs a request and send what callers wrote."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from pipeline.base.errors import ConfigurationError
from serving.observability.request_ids import REQUEST_ID

if TYPE_CHECKING:
    from sentry_sdk import Client

_DSN = re.compile(r"https?://[^@/\s]+@[^/\s]+(/[^/\s]+)*/\d+")


class DefectReports:
    """Sends the traceback of each defect, without the values of variables.

    Parameters
    ----------
    dsn
        Where to.
    environment, release
        Named in each report.

    Raises
    ------
    ConfigurationError
        If the address cannot be used; it is not shown.
    """

    def __init__(self, dsn: str, environment: str, release: str) -> None:
        if not _DSN.fullmatch(dsn):
            raise ConfigurationError(
                "SENTRY_DSN cannot be read", "Write it as https://key@host/project, or leave it empty.", exit_code=2
            )
        self._dsn = dsn
        self._environment = environment
        self._release = release
        self._client: Client | None = None

    def open(self) -> None:
        """Load the SDK."""
        from sentry_sdk import Client  # noqa: PLC0415

        self._client = Client(
            self._dsn,
            environment=self._environment,
            release=self._release,
            default_integrations=False,
            auto_enabling_integrations=False,
            include_local_variables=False,
            max_breadcrumbs=0,
            server_name="",
        )

    def close(self) -> None:
        """Send what waits, for 2 s at most."""
        if self._client is not None:
            self._client.close(timeout=2.0)

    def report(self, error: BaseException) -> None:
        """Send a defect, in the background."""
        from sentry_sdk.utils import event_from_exception  # noqa: PLC0415

        if self._client is None:
            return
        event, hint = event_from_exception(error, client_options=self._client.options)
        request_id = REQUEST_ID.get()
        if request_id is not None:
            event["tags"] = {"request_id": request_id}
        self._client.capture_event(event, hint)

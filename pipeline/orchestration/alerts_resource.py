"""Resource ``alerts``: whom alerts are told."""

from __future__ import annotations

import dagster as dg

from pipeline.base.settings import load_settings
from pipeline.orchestration.alerts_formats import Sender
from pipeline.orchestration.alerts_sending import Receiver


class AlertsResource(dg.ConfigurableResource["AlertsResource"]):
    """Where alerts go.

    Parameters
    ----------
    url
        Address; empty to read ``FINTECH_ALERT_WEBHOOK_URL`` when a tick asks, so that Dagster, which keeps and shows
        what a resource is configured with, never sees a secret in it.
    """

    url: str = ""

    @property
    def receiver(self) -> Receiver | None:
        """The receiver, if one is set.

        Raises
        ------
        ConfigurationError
            If its address, or what its format needs, cannot be used.
        """
        if self.url:
            return Receiver(self.url)
        settings = load_settings()
        if settings.alert_webhook_url is None:
            return None
        key = settings.alert_routing_key
        sender = Sender(settings.environment, "" if key is None else key.get_secret_value())
        return Receiver(settings.alert_webhook_url.get_secret_value(), settings.alert_format, sender)

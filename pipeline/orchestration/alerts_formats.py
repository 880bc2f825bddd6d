"""What is posted of an alert: the platform's own document, a message for Slack, or events for PagerDuty.

Sources: Slack, "Sending messages using incoming webhooks" and "Block Kit: section block"; PagerDuty, "Events API v2:
Send an alert event".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, get_args

Form = Literal["json", "slack", "pagerduty"]
FORMS: tuple[Form, ...] = get_args(Form)
Severity = Literal["critical", "error", "warning", "info"]
"""As PagerDuty names them."""

SLACK_TEXT = 3_000
"""Characters of a section's text."""
SLACK_FIELDS = 10
"""Fields of a section."""
PAGERDUTY_SUMMARY = 1_024
PAGERDUTY_KEY = 255
_SIGNS: Mapping[Severity, str] = {
    "critical": ":rotating_light:",
    "error": ":red_circle:",
    "warning": ":large_orange_diamond:",
    "info": ":white_check_mark:",
}


@dataclass(frozen=True, slots=True)
class Alert:
    """Something to tell once.

    Parameters
    ----------
    key
        The same however often it is told.
    text
        One sentence for people.
    severity
        ``info`` where something is over.
    component
        What it is about, such as an asset or a portfolio.
    occurred_at
        When it was noticed.
    detail
        Values by name, for programs.
    opens
        The incident that it begins; None if it only ends some.
    closes
        Incidents that are over with it.
    """

    key: str
    text: str
    severity: Severity
    component: str
    occurred_at: datetime
    detail: Mapping[str, Any]
    opens: str | None
    closes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Sender:
    """Who tells.

    Parameters
    ----------
    environment
        Such as production; a part of PagerDuty's keys, so that platforms with the same routing key do not mix.
    routing_key
        PagerDuty's, of an integration "Events API v2".
    """

    environment: str
    routing_key: str = ""


def bodies(form: Form, alert: Alert, sender: Sender) -> tuple[dict[str, Any], ...]:
    """The documents to post of an alert, in their order; several only for PagerDuty, whose events have one key each."""
    if form == "slack":
        return (_slack(alert, sender),)
    if form == "pagerduty":
        return _pagerduty(alert, sender)
    return (_document(alert),)


def _document(alert: Alert) -> dict[str, Any]:
    head = {"key": alert.key, "text": alert.text, "severity": alert.severity}
    return head | {"opens": alert.opens, "closes": list(alert.closes), **alert.detail}


def _slack(alert: Alert, sender: Sender) -> dict[str, Any]:
    text = f"{_SIGNS[alert.severity]} {_escaped(alert.text)}"
    fields = [
        {"type": "mrkdwn", "text": f"*{_escaped(name)}*\n{_escaped(str(value))[:1_900]}"}
        for name, value in alert.detail.items()
        if isinstance(value, str | int | float)
    ]
    section = {"type": "section", "text": {"type": "mrkdwn", "text": text[:SLACK_TEXT]}}
    context = f"{_escaped(sender.environment)} · {_escaped(alert.component)} · {alert.key}"
    return {
        "text": text[:SLACK_TEXT],
        "blocks": [
            section | ({"fields": fields[:SLACK_FIELDS]} if fields else {}),
            {"type": "context", "elements": [{"type": "mrkdwn", "text": context[:SLACK_TEXT]}]},
        ],
    }


def _escaped(text: str) -> str:
    """The three characters that Slack reads as its own."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _pagerduty(alert: Alert, sender: Sender) -> tuple[dict[str, Any], ...]:
    opened = (
        [] if alert.opens is None else [_event("trigger", alert.opens, sender) | {"payload": _payload(alert, sender)}]
    )
    return (*opened, *(_event("resolve", incident, sender) for incident in alert.closes))


def _event(action: str, incident: str, sender: Sender) -> dict[str, Any]:
    key = f"{sender.environment}/{incident}"
    return {"routing_key": sender.routing_key, "event_action": action, "dedup_key": key[:PAGERDUTY_KEY]}


def _payload(alert: Alert, sender: Sender) -> dict[str, Any]:
    return {
        "summary": alert.text[:PAGERDUTY_SUMMARY],
        "source": f"fintech-platform ({sender.environment})",
        "severity": alert.severity,
        "timestamp": alert.occurred_at.isoformat(),
        "component": alert.component,
        "custom_details": dict(alert.detail),
    }

"""What receivers are sent: the platform's document, Slack's message, PagerDuty's events."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, date, datetime

import pytest

from pipeline.base.errors import ConfigurationError
from pipeline.orchestration.alerts_formats import FORMS, Alert, Sender, bodies
from pipeline.orchestration.alerts_sending import Receiver
from pipeline.risk.assets.webhook import alert_of
from pipeline.store.limits import StoredEvent
from pipeline.store.portfolios import Portfolio

NOW = datetime(2026, 11, 25, 3, 0, tzinfo=UTC)
SENDER = Sender("production", "routing")
ALERT = Alert(
    key="stale:prices:1",
    text="prices <is> stale & late.",
    severity="error",
    component="prices",
    occurred_at=NOW,
    detail={"asset": "prices", "count": 3, "nested": {"left": "out"}},
    opens="stale:prices:1",
)
OVER = replace(ALERT, key="stale:prices:1:RESOLVED", severity="info", opens=None, closes=("stale:prices:1",))


def event(kind: str, ordinal: str = "") -> StoredEvent:
    key = f"portfolio-1:var_99_1d:above:2022-12-28{ordinal}:{kind}"
    day = date(2022, 12, 28)
    return StoredEvent(key, 1, kind, "var_99_1d", "above", day, day, 0.03, 0.01, 0.02, NOW, None, 0, None)


PORTFOLIO = Portfolio(1, "two", "Two", "USD", "monthly", NOW, ())


def test_the_platforms_own_document_names_what_it_opens() -> None:
    assert bodies("json", ALERT, SENDER) == (
        {
            "key": "stale:prices:1",
            "text": "prices <is> stale & late.",
            "severity": "error",
            "opens": "stale:prices:1",
            "closes": [],
            "asset": "prices",
            "count": 3,
            "nested": {"left": "out"},
        },
    )


def test_slack_gets_a_text_and_fields_of_plain_values() -> None:
    (body,) = bodies("slack", ALERT, SENDER)
    assert body["text"] == ":red_circle: prices &lt;is&gt; stale &amp; late."
    section, context = body["blocks"]
    assert section["text"] == {"type": "mrkdwn", "text": body["text"]}
    assert [field["text"] for field in section["fields"]] == ["*asset*\nprices", "*count*\n3"]
    assert "production" in context["elements"][0]["text"]


def test_slacks_bounds_are_kept() -> None:
    long = replace(ALERT, text="x" * 10_000, detail={f"name{n}": "y" * 5_000 for n in range(30)})
    (body,) = bodies("slack", long, SENDER)
    assert len(body["blocks"][0]["text"]["text"]) <= 3_000
    assert len(body["blocks"][0]["fields"]) == 10
    assert all(len(field["text"]) <= 2_000 for field in body["blocks"][0]["fields"])


def test_pagerduty_opens_and_resolves_by_one_key() -> None:
    (opened,) = bodies("pagerduty", ALERT, SENDER)
    (closed,) = bodies("pagerduty", OVER, SENDER)
    assert opened["payload"]["severity"] == "error"
    assert opened["payload"]["timestamp"] == "2026-11-25T03:00:00+00:00"
    assert opened["payload"]["source"] == "fintech-platform (production)"
    assert (opened["event_action"], closed["event_action"]) == ("trigger", "resolve")
    assert opened["dedup_key"] == closed["dedup_key"] == "production/stale:prices:1"
    assert opened["routing_key"] == closed["routing_key"] == "routing"
    assert "payload" not in closed


def test_pagerdutys_bounds_are_kept() -> None:
    (body,) = bodies("pagerduty", replace(ALERT, text="x" * 5_000, opens="k" * 500), SENDER)
    assert len(body["payload"]["summary"]) == 1_024
    assert len(body["dedup_key"]) == 255


@pytest.mark.parametrize(
    ("kind", "events"),
    [
        ("WARN", [("trigger", "WARN")]),
        ("BREACH", [("trigger", "BREACH"), ("resolve", "WARN")]),
        ("CLEAR", [("resolve", "BREACH"), ("resolve", "WARN")]),
    ],
)
def test_each_level_of_a_limit_is_an_incident_and_the_end_closes_both(kind: str, events: list[tuple[str, str]]) -> None:
    for ordinal in ("", "#2"):
        sent = bodies("pagerduty", alert_of(event(kind, ordinal), PORTFOLIO), SENDER)
        episode = f"production/portfolio-1:var_99_1d:above:2022-12-28{ordinal}"
        assert [(body["event_action"], body["dedup_key"]) for body in sent] == [
            (action, f"{episode}:{level}") for action, level in events
        ]


@pytest.mark.parametrize("form", FORMS)
def test_every_document_is_json(form: str) -> None:
    for kind in ("WARN", "BREACH", "CLEAR"):
        for body in bodies(form, alert_of(event(kind), PORTFOLIO), SENDER):  # type: ignore[arg-type]
            json.dumps(body, allow_nan=False)


def test_pagerduty_without_a_key_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="FINTECH_ALERT_FORMAT=pagerduty needs FINTECH_ALERT_ROUTING_KEY"):
        Receiver("https://events.example/v2/enqueue", "pagerduty")

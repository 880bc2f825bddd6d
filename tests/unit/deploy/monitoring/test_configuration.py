"""What is scraped, who is told, and that Compose hands each program files that exist."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from serving.services import SERVICES
from tests.unit.deploy.monitoring.debian import program
from tests.unit.deploy.monitoring.exported import MONITORING, RULES

COMPOSE = yaml.safe_load((MONITORING / "compose.yaml").read_text())
PROMETHEUS = yaml.safe_load((MONITORING / "prometheus.yml").read_text())


def test_prometheus_can_read_its_configuration(tmp_path: Path) -> None:
    text = (MONITORING / "prometheus.yml").read_text()
    secret = tmp_path / "key"
    secret.write_text("key")
    file = tmp_path / "prometheus.yml"
    text = text.replace("/etc/prometheus/rules", str(MONITORING / "rules"))
    file.write_text(text.replace("/run/secrets/SERVICE_API_KEY", str(secret)))
    promtool = program("promtool", "prometheus")
    done = subprocess.run([promtool, "check", "config", file], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{len(RULES)} rule files found" in done.stdout


def test_every_service_is_scraped_by_its_name_and_port() -> None:
    (job,) = [job for job in PROMETHEUS["scrape_configs"] if job["job_name"] == "fintech"]
    found = {(tuple(entry["names"]), entry["port"]) for entry in job["dns_sd_configs"]}
    assert found == {((service.name,), service.port) for service in SERVICES}


@pytest.mark.parametrize(
    ("labels", "receivers"),
    [
        ({"severity": "critical", "alertname": "ServiceDown"}, "pagerduty,slack"),
        ({"severity": "warning", "alertname": "StaleAssets"}, "slack"),
    ],
)
def test_alerts_reach_their_receivers(labels: dict[str, str], receivers: str) -> None:
    amtool = program("amtool", "prometheus-alertmanager")
    file = MONITORING / "alertmanager.yml"
    checked = subprocess.run([amtool, "check-config", file], capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    asked = [f"{name}={value}" for name, value in labels.items()]
    command = [amtool, "config", "routes", "test", f"--config.file={file}", f"--verify.receivers={receivers}", *asked]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_no_secret_stands_in_a_file_of_the_repository() -> None:
    receivers = yaml.safe_load((MONITORING / "alertmanager.yml").read_text())["receivers"]
    (slack,), (pagerduty,) = receivers[0]["slack_configs"], receivers[1]["pagerduty_configs"]
    assert slack["api_url_file"] == "/run/secrets/SLACK_WEBHOOK_URL"
    assert pagerduty["routing_key_file"] == "/run/secrets/PAGERDUTY_ROUTING_KEY"
    assert not {"api_url", "routing_key", "service_key"} & (slack.keys() | pagerduty.keys())


@pytest.mark.parametrize("name", COMPOSE["services"])
def test_programs_are_given_files_that_exist(name: str) -> None:
    """Paths are those of deploy/compose.yaml, whose services they run beside."""
    service: dict[str, Any] = COMPOSE["services"][name]
    for mount in service.get("volumes", []):
        source = mount.partition(":")[0]
        assert source in COMPOSE["volumes"] or (MONITORING.parent / source).exists()
    declared = COMPOSE["secrets"].keys() | {"SERVICE_API_KEY"}  # that of the platform itself
    assert set(service.get("secrets", [])) <= declared
    assert service["profiles"] == ["monitoring"]


def test_nothing_is_published_beyond_loopback() -> None:
    ports = [port for service in COMPOSE["services"].values() for port in service.get("ports", [])]
    assert ports
    assert all(port.startswith("127.0.0.1:") for port in ports)


def test_traces_find_their_way() -> None:
    collector = yaml.safe_load((MONITORING / "otel-collector.yaml").read_text())
    (pipeline,) = collector["service"]["pipelines"].values()
    for part in ("receivers", "processors", "exporters"):
        assert set(pipeline[part]) == collector[part].keys()
    host = collector["exporters"]["otlp/jaeger"]["endpoint"].partition(":")[0]
    assert host in COMPOSE["services"]

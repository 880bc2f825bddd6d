"""Grafana's dashboards from code: ``python -m deploy.monitoring.dashboards`` writes ``grafana/dashboards/*.json``."""

from __future__ import annotations

from pathlib import Path

from deploy.monitoring.data_panels import ASSETS, HEALTH, QUARANTINE, RUNNING
from deploy.monitoring.panels import Dashboard, written
from deploy.monitoring.service_panels import LEVELS, RED, USE

FOLDER = Path(__file__).parent / "grafana" / "dashboards"

DASHBOARDS = (
    Dashboard("fintech-services", "Services", (LEVELS, RED, USE), by_service=True),
    Dashboard("fintech-data", "Data health", (HEALTH, ASSETS, QUARANTINE)),
    Dashboard("fintech-runs", "Runs", (RUNNING,)),
)


def main() -> None:
    """Write every dashboard, and remove files of those that are gone."""
    for file in FOLDER.glob("*.json"):
        file.unlink()
    for dashboard in DASHBOARDS:
        (FOLDER / f"{dashboard.uid}.json").write_text(written(dashboard), encoding="utf-8")


if __name__ == "__main__":
    main()

"""Where a local platform answers."""

from __future__ import annotations

from pipeline.base.settings import Settings

DAGSTER_UI_PORT = 3030
API_PORT = 3000


def dagster_ui_port(settings: Settings) -> int:
    """Port of the Dagster UI."""
    return DAGSTER_UI_PORT + settings.port_offset


def local_addresses(settings: Settings) -> list[tuple[str, str]]:
    """What is served, and where."""
    api = f"http://127.0.0.1:{API_PORT + settings.port_offset}"
    return [
        ("Pages", f"{api}/"),
        ("API", f"{api}/api/v1/portfolios"),
        ("API docs", f"{api}/docs"),
        ("Dagster UI", f"http://127.0.0.1:{dagster_ui_port(settings)}"),
    ]

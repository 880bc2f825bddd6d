"""Addresses that the command line prints, against where things are served."""

from __future__ import annotations

from urllib.parse import urlsplit

import pytest

from fintech.addresses import dagster_ui_port, local_addresses
from pipeline.base.settings import Settings
from serving.services import SERVICES


def settings(offset: int) -> Settings:
    return Settings(FINTECH_PORT_OFFSET=offset, _env_file=None)


@pytest.mark.parametrize("offset", [0, 100, 50_000])
def test_every_printed_address_is_on_loopback_and_moves_with_the_offset(offset: int) -> None:
    parts = [urlsplit(address) for _, address in local_addresses(settings(offset))]
    assert {part.hostname for part in parts} == {"127.0.0.1"}
    assert {part.port for part in parts} == {3000 + offset, 3030 + offset}


def test_the_printed_api_is_the_gateway() -> None:
    (gateway,) = (service for service in SERVICES if service.slice is None)
    addresses = dict(local_addresses(settings(7)))
    assert urlsplit(addresses["API"]).port == gateway.port_on(settings(7))
    assert addresses["Dagster UI"] == f"http://127.0.0.1:{dagster_ui_port(settings(7))}"


def test_no_two_processes_share_a_port() -> None:
    ports = [service.port_on(settings(0)) for service in SERVICES] + [dagster_ui_port(settings(0))]
    assert len(set(ports)) == len(ports) == 6

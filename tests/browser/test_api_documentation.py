"""The documentation page of the API, as a reader sees it."""

from __future__ import annotations

from playwright.sync_api import Page, expect

from tests.integration.serving.conftest import new_seeded, own_seeded, serve  # noqa: F401 - fixtures of the services
from tests.integration.serving.running import Serve
from tests.integration.serving.seeding import Seeded


def test_a_reader_finds_a_route_and_tries_it(page: Page, own_seeded: Seeded, serve: Serve) -> None:  # noqa: F811
    service = serve(own_seeded.database.url)
    page.goto(f"http://127.0.0.1:{service.port}/docs")
    route = page.locator("#operations-portfolios-get_portfolio")
    route.click()
    expect(route.locator(".responses-table tr.response[data-code='200']")).to_contain_text('"name": "Technology"')
    route.get_by_role("button", name="Try it out").click()
    route.get_by_placeholder("reference").fill("held")
    route.get_by_role("button", name="Execute").click()
    answer = route.locator(".live-responses-table tbody")
    expect(answer.first).to_contain_text('"rebalancing": "buy_and_hold"')
    expect(answer.first).to_contain_text("Demonstration data")

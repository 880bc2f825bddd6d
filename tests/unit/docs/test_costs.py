"""The tables of costs are those of `render.yaml`, and they add up."""

from __future__ import annotations

import re
from collections import Counter

import pytest
import yaml

from pipeline.base.settings import PROJECT_ROOT

PAGE = (PROJECT_ROOT / "docs" / "costs.md").read_text()
BLUEPRINT = yaml.safe_load((PROJECT_ROOT / "render.yaml").read_text())
ENVIRONMENTS = {environment["name"]: environment for environment in BLUEPRINT["projects"][0]["environments"]}
PRICES = {"free": 0.0, "starter": 7.0, "standard": 25.0, "pro": 85.0}
DATABASES = {"basic-256mb": 6.0, "basic-1gb": 19.0}
KEY_VALUE = {"free": 0.0, "starter": 10.0}
STORAGE_A_GB = 0.3


def rows(environment: str) -> list[list[str]]:
    """Cells of an environment's table."""
    table = re.search(rf"^\| {environment} \| number .*?\n\n", PAGE, re.MULTILINE | re.DOTALL)
    assert table
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table[0].strip().splitlines()[2:]]


def costs(environment: str) -> float:
    """What the blueprint costs."""
    found = ENVIRONMENTS[environment]
    kinds = Counter((service["type"] == "keyvalue", service["plan"]) for service in found["services"])
    services = sum((KEY_VALUE if is_store else PRICES)[plan] * number for (is_store, plan), number in kinds.items())
    stores = sum(DATABASES[d["plan"]] + STORAGE_A_GB * d["diskSizeGB"] for d in found["databases"])
    return services + stores


@pytest.mark.parametrize("environment", ["production", "staging"])
def test_the_table_is_the_blueprint_s(environment: str) -> None:
    *parts, total = rows(environment)
    assert float(total[-1].strip("*")) == pytest.approx(costs(environment))
    assert sum(float(part[-1]) for part in parts) == pytest.approx(costs(environment))
    found = ENVIRONMENTS[environment]
    assert sum(int(part[1]) for part in parts) == len(found["services"]) + len(found["databases"])


def test_both_together_are_what_the_page_says() -> None:
    assert f"**{costs('production') + costs('staging'):g}**" in PAGE


def test_prices_say_where_they_are_from() -> None:
    for row in re.findall(r"^\| (?!plan |---)[^\n]*$", PAGE.partition("## ")[0], re.MULTILINE):
        assert len(row.strip("|").split("|")) == 3
        assert row.strip("|").split("|")[2].strip()

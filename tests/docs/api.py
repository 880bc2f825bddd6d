"""``docs/api.md``: the most common calls by curl and by the client, with the answers that a service gave to them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date
from functools import partial
from types import SimpleNamespace
from typing import Any

import httpx
import numpy as np
import pandas as pd

import fintech
from fintech.samples import register_samples
from pipeline.base.settings import PROJECT_ROOT
from pipeline.base.types import MonthRange
from pipeline.market_data.providers.bundled import NOTICE, BundledProvider
from pipeline.risk.assets.portfolio_risk import portfolio_report
from pipeline.store.engine import Database
from pipeline.store.instruments import Listing, benchmark_of, read_instruments, replace_instruments
from pipeline.store.portfolio_risk import PORTFOLIO_RISK
from pipeline.store.portfolios import read_portfolios
from pipeline.store.prices import price_rows, read_price_panel, replace_prices
from pipeline.store.providers import record_provider
from pipeline.store.writing import concatenated, open_write
from tests.bundled import bundled_bars
from tests.integration.serving.running import local_settings, running_service

PAGE = PROJECT_ROOT / "docs" / "api.md"
_MONTHS = MonthRange(date(1990, 1, 1), date(2022, 12, 1))
_LAST_MONTHS = MonthRange(date(2022, 11, 1), date(2022, 12, 1))

_HEAD = """\
# The API

Made by `make docs` from a service on the bundled prices; do not edit. Every answer below is one that it gave, cut to
the fields that `jq` picks. `make up` serves the same on port 3000, where `/docs` lists every route, field and unit.

The client is `fintech.Client`, with the extra `client` of this project. Series become DataFrames by `to_df()`: days are
`datetime64[ns]`, numbers `float64`, also where there are no rows. `Client(url, api_key, timeout)` asks
`http://127.0.0.1:3000` with the key in `FINTECH_API_KEY`, unless told otherwise. It has a method for every operation. A
request is sent up to four times after 429, 503 and lost connections, as `Retry-After` says; one that stores something
has an `Idempotency-Key`, so that it is carried out once. `start_simulation(…).wait(progress=print)` follows a job.
"""

_TAIL = """\
## Access

On this machine (`FINTECH_ENV=local`) nobody logs in. Anywhere else each call needs the key of a program, which
`fintech keys add USER --name NAME --scope read` makes (further scopes: `compute`, `portfolios`, `keys`, `limits`,
`quarantine`, `instruments`, `models`, `users`, `audit`), or the token of a user, good for minutes and renewed by the
refresh token that comes with it:

```console
$ curl -s -H "X-API-Key: $FINTECH_API_KEY" https://api.example.com/api/v1/portfolios
$ curl -s https://api.example.com/api/v1/auth/login -H 'Content-Type: application/json' \\
    -d '{"email": "ann@example.com", "password": "…"}' | jq -r .access_token
$ curl -s -H "Authorization: Bearer $TOKEN" https://api.example.com/api/v1/portfolios
```

A client may ask 100 times in 15 minutes unless the operator says otherwise: `RateLimit-Remaining` tells how often
still, and 429 with `Retry-After` that it was too often. A POST with an `Idempotency-Key`, such as a random UUID, is
carried out once, however often it is sent within 24 hours:

```console
$ curl -s https://api.example.com/api/v1/portfolios -H "X-API-Key: $FINTECH_API_KEY" \\
    -H "Idempotency-Key: $(uuidgen)" -H 'Content-Type: application/json' \\
    -d '{"name": "Mine", "positions": [{"symbol": "AAPL", "quantity": 100}]}'
```

## Conventions

- Rates of exchange are at `/fx-rates`; forecasts at `/volatility-forecasts`, `/quantile-forecasts` and
  `/probability-forecasts`, their record at `/scores`; simulations are asked for by `POST /simulate`, or
  `POST /portfolios/{reference}/simulate`, and those in the background read at `/simulations`.

- Returns, weights and losses are fractions; a loss is positive. What has no value is `null`, with a reason beside it.
- `notice` is what every reader of the data must be told; `warnings` names by `code` what else to know before an answer
  is used (`sample_data`, `provider_notice`, `stale`, `partial_window`, `provisional`; of forecasts `too_few_returns`
  and `not_stored`), and `staleness` says how new the data is: `last_session`, the `expected_session` that should be
  there by 21:00 in New York, `sessions_behind` and `materialized_at`. The client has them in `.told`, and a DataFrame
  in `attrs`.
- Collections come as JSON, CSV, Parquet or an Arrow stream, by `?format=json|csv|parquet|arrow` or else by `Accept`;
  406 if `Accept` names none of them. The tables are equal: dates are `date32`, moments `timestamp[us, UTC]`, what is
  missing is null and never NaN, nested values are JSON texts. What the JSON says beside its rows is in the header
  `X-Answer-Metadata`, and in the schema's metadata under `fintech`; so it is for the streams of a simulation's paths.
- Collections come in pages of `limit` rows, at most 10,000. `next_cursor`, as the header `Link` with `rel="next"`,
  leads to the next page, and is null on the last one; rows that are added meanwhile make none come twice. Series answer
  with the newest 252 rows, oldest first, and their next page lies before them. `start` and `end` choose others. The
  client fetches every page of a list, and of a series as many as `limit` needs; `limit="all"` is all.
- `as_of` is the newest session whose data may be used, and `known_at` gives prices and rates as they were known at a
  moment with a time zone. Neither may lie in the future or before the first data.
- `/prices`, `/instrument-risk`, `/volatility-forecasts`, `/quantile-forecasts` and `/probability-forecasts` take
  `symbols=AAPL,MSFT`, up to 500, and answer with one instrument after the other; without `start` with the newest year.
- `ETag` with `If-None-Match` gives 304 while nothing has changed. `X-Request-ID` comes back, and is in the log.
- 503 says in `Retry-After` when to ask again.
- With `RISK_ENGINE_URL`, `PORTFOLIO_SERVICE_URL`, `MARKET_DATA_URL` and `AI_ENGINE_URL` the gateway calls those
  services; what is not named it serves itself. Answers are the same. A service that fails five times in a row is left
  alone until its `/health` answers again; meanwhile its routes are refused at once with 503, and the others go on.
  `/health/ready` of the gateway names each, and stays ready.
"""


@dataclass(frozen=True, slots=True)
class Example:
    """A call.

    Parameters
    ----------
    picked
        Fields of the answer that are shown; of the last row, if it is a series.
    code
        The same by the client, line by line; what has a value is shown.
    """

    title: str
    text: str
    path: str
    picked: tuple[str, ...]
    code: tuple[str, ...]
    body: dict[str, Any] | None = field(default=None)
    posts: bool = False
    is_table: bool = False


def _positions(slug: str) -> dict[str, Any]:
    return {"name": "Mine", "slug": slug, "positions": [{"symbol": "AAPL", "quantity": 100}]}


_EXAMPLES = (
    Example(
        "Prices",
        "Adjusted for splits and dividends in `close_adjusted`; the bundled set has nothing else.",
        "/instruments/AAPL/prices?limit=1",
        ("session", "close", "close_adjusted"),
        ("import fintech", "api = fintech.Client()", 'api.prices("AAPL", limit=3).to_df()["close_adjusted"]'),
    ),
    Example(
        "Stored risk of a portfolio",
        "By session, from windows of 252 sessions; `core` is one of three sample portfolios.",
        "/portfolios/core/risk?limit=1",
        ("session", "volatility", "sharpe_ratio", "var_99_1d", "es_975_1d"),
        (
            'fintech.Client().risk("core").to_df()[["volatility", "sharpe_ratio", "var_99_1d"]].tail(3)',
            'api.risk("core").notice',
        ),
    ),
    Example(
        "Several instruments at once, as a table",
        "One after the other, page after page. A CSV here; Parquet and Arrow have types, and are read faster.",
        "/prices?symbols=AAPL,MSFT&start=2022-12-27&format=csv",
        (),
        ('api.prices_of(["AAPL", "MSFT"], start="2022-12-27").to_df()[["symbol", "close_adjusted"]]',),
        is_table=True,
    ),
    Example(
        "A portfolio of your own",
        "Quantities are held; target weights are restored `daily`, `monthly` or `quarterly`.",
        "/portfolios",
        ("slug", "name", "base_currency", "rebalancing"),
        (
            'mine = api.create_portfolio("Ours", [{"symbol": "AAPL", "quantity": 100}], slug="ours")',
            "mine.slug, mine.rebalancing, mine.positions[0].quantity",
        ),
        _positions("mine"),
        posts=True,
    ),
    Example(
        "Its risk now",
        "Computed on request; nothing is stored.",
        "/portfolios/mine/risk",
        ("as_of", "var", "expected_shortfall", "confidence", "sharpe_ratio"),
        (
            'report = api.compute_risk("ours", confidence=0.95)',
            "report.as_of, report.var",
            'report.measures["sharpe_ratio"]',
        ),
        posts=True,
    ),
    Example(
        "Why is this number that?",
        "A stored measure with everything that it follows from, and computed again from that.",
        "/portfolios/core/risk/explain?measure=var_99_1d",
        ("subject", "session", "value", "recomputed", "difference"),
        (
            'why = api.explain("core", "var_99_1d")',
            "why.value, why.recomputed",
            'why.definition["formula"]',
            'len(why.inputs["returns"])',
        ),
    ),
    Example(
        "Any returns or positions",
        "Every measure and seven tail methods, without storing anything; `docs/measures.md` defines each.",
        "/calculate",
        ("window_sessions", "convention", "measures"),
        (
            'found = api.calculate(returns={"values": [0.01, -0.02, 0.005, 0.012]}, measures=["volatility", "cagr"])',
            'found.to_df()[["value", "unit"]]',
        ),
        {"returns": {"values": [0.01, -0.02, 0.005, 0.012]}, "measures": ["volatility"]},
        posts=True,
    ),
    Example(
        "A refusal",
        "A problem document (RFC 9457), which the client raises as `fintech.ProblemError`.",
        "/portfolios/none/risk",
        ("title", "status", "detail", "remedy"),
        (
            (
                "try:\n    api.risk('none')\n"
                "except fintech.ProblemError as problem:\n    print(problem.status, problem.remedy)"
            ),
        ),
    ),
)


def api_page(database: Database) -> str:
    """The page, ending with a newline, by a service on an empty migrated database that is filled for it."""
    _load(database)
    with (
        running_service("backend-api", local_settings(database.url)) as service,
        pd.option_context("display.width", 100),
    ):
        url = f"http://127.0.0.1:{service.port}"
        names = SimpleNamespace(Client=partial(fintech.Client, url), ProblemError=fintech.ProblemError)
        session: dict[str, Any] = {"fintech": names}
        sections = [line for example in _EXAMPLES for line in _section(example, service.client, session)]
    return "\n".join([_HEAD, *sections, _TAIL])


def _load(database: Database) -> None:
    """The bundled prices, the samples, and the risk of their last two months, by what the assets call."""
    bars = bundled_bars().sorted()
    with open_write(database, "instruments", "docs", "1") as write:
        listings = [
            Listing(s.symbol, s.name, s.kind, s.sector, s.currency, s.exchange, "bundled")
            for s in BundledProvider().securities()
        ]
        replace_instruments(write, listings)
        record_provider(write.connection, "bundled", NOTICE)
        instruments = read_instruments(write.connection)
        register_samples(write.connection)
    ids = {instrument.symbol: instrument.id for instrument in instruments}
    with open_write(database, "prices", "docs", "1") as write:
        of_bar = np.array([ids[symbol] for symbol in bars.symbols], dtype="i4")[bars.symbol_index]
        rows = price_rows(of_bar, bars.sessions, 1, {"close_adjusted": bars.close_adjusted})
        replace_prices(write, rows, _MONTHS)
    with open_write(database, "portfolio_risk", "docs", "1") as write:
        panel = read_price_panel(write.connection, list(ids.values()), None, _MONTHS.end)
        blocks = [
            block
            for portfolio in read_portfolios(write.connection)
            for block in portfolio_report(panel, benchmark_of(instruments), portfolio, _LAST_MONTHS)
        ]
        write.replace(PORTFOLIO_RISK, concatenated(PORTFOLIO_RISK, blocks), _LAST_MONTHS)


def _section(example: Example, client: httpx.Client, session: dict[str, Any]) -> Iterator[str]:
    yield f"## {example.title}\n\n{example.text}\n"
    yield "```console"
    if example.is_table:
        yield f"$ curl -s {_arguments(example)}\n{client.get(f'/api/v1{example.path}').text}```\n"
    else:
        yield f"$ curl -s {_arguments(example)} \\\n    | jq '{_filter(example)}'"
        yield f"{_picked(example, client)}\n```\n"
    yield "```python"
    for code in example.code:
        yield from _executed(code, session)
    yield "```\n"


def _arguments(example: Example) -> str:
    path = f"localhost:3000/api/v1{example.path}"
    if "?" in path:
        path = f"'{path}'"
    if not example.posts:
        return path
    if example.body is None:
        return f"-X POST {path}"
    return f"{path} -H 'content-type: application/json' \\\n    -d '{json.dumps(example.body)}'"


def _is_series(example: Example) -> bool:
    return "limit=" in example.path


def _filter(example: Example) -> str:
    fields = "{" + ", ".join(example.picked) + "}"
    return f".data[-1] | {fields}" if _is_series(example) else fields


def _picked(example: Example, client: httpx.Client) -> str:
    method = "POST" if example.posts else "GET"
    answer = client.request(method, f"/api/v1{example.path}", json=example.body)
    found = answer.json()
    found = found["data"][-1] if _is_series(example) else found
    return json.dumps({name: found[name] for name in example.picked}, indent=2, ensure_ascii=False)


def _executed(code: str, session: dict[str, Any]) -> Iterator[str]:
    """The code as an interpreter shows it, and what it says."""
    first, *rest = code.split("\n")
    yield "\n".join([f">>> {first}", *(f"... {line}" for line in rest)])
    if code.startswith("import "):
        return
    said: list[str] = []
    session["print"] = lambda *parts: said.append(" ".join(map(str, parts)))
    try:
        value = eval(code, session)
    except SyntaxError:
        exec(code, session)
    else:
        said.append(repr(value))
    yield from ("\n".join(line.rstrip() for line in text.split("\n")) for text in said)

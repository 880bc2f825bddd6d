"""Provider ``ecb``: the European Central Bank's reference rates against the euro.

Format: ``GET /service/data/EXR/D.<currencies>.EUR.SP00.A?format=csvdata&detail=dataonly`` with ``startPeriod`` and
``endPeriod``; currencies are joined by ``+``, and none means all (https://data.ecb.europa.eu/help/api/data). A
period without a publication is an empty answer with status 200; a day without a figure has an empty or ``NaN``
``OBS_VALUE``. A key without data is a 404 ("No results found.").
"""

from __future__ import annotations

import numpy as np

from pipeline.market_data.providers.errors import ProviderError
from pipeline.market_data.providers.histories import inside
from pipeline.market_data.providers.http import NotFoundAtVendorError, vendor_session
from pipeline.market_data.providers.options import NO_OPTIONS, ProviderOptions
from pipeline.market_data.providers.payloads import accept, read_days, read_numbers, read_table, refused
from pipeline.market_data.providers.protocol import FetchRequest, FetchResult, FxRates, Offer, Payload, Security
from pipeline.market_data.providers.vendors import PATIENT, Answer, RetryPolicy, Vendor
from pipeline.market_data.rules.schema_drift import SCHEMA_DRIFT

ECB = Vendor("The ECB", "https://data-api.ecb.europa.eu", spacing_seconds=0.5)

REQUIRED = ("CURRENCY", "CURRENCY_DENOM", "TIME_PERIOD", "OBS_VALUE")
MISSING = frozenset({"", "NaN"})
EURO = "EUR"


class EcbProvider:
    """Daily reference rates since 1999; no key, no published limit."""

    name = "ecb"
    notice: str | None = None
    offers: frozenset[Offer] = frozenset({"fx_rates"})

    def __init__(self, _: ProviderOptions = NO_OPTIONS, vendor: Vendor = ECB, policy: RetryPolicy = PATIENT) -> None:
        self._vendor = vendor
        self._policy = policy

    def securities(self) -> tuple[Security, ...]:
        """None: it has rates alone."""
        return ()

    def fetch(self, request: FetchRequest) -> FetchResult:
        """Rates of the currencies that are asked for, else of all; those without a rate are in `missing`.

        Raises
        ------
        ProviderError
            If the ECB cannot be read. A 404 for all currencies is an outage, not an empty period.
        """
        if request.what != "fx_rates" or request.as_of is not None:
            raise ProviderError(
                "Provider 'ecb' has exchange rates as they stand today, and nothing else", "Ask for these."
            )
        wanted = tuple(currency for currency in request.symbols if currency != EURO)
        if request.symbols and not wanted:
            return FetchResult(fx_rates=no_rates())
        try:
            answer = self._ask(wanted, request)
        except NotFoundAtVendorError:
            if not wanted:
                raise
            return FetchResult(fx_rates=no_rates(), missing=_without_rate(wanted, no_rates(), request))
        if not answer.content.strip():
            return FetchResult(fx_rates=no_rates(), missing=_without_rate(wanted, no_rates(), request))
        payload = accept(self._vendor.name, _named(wanted), answer, "csv")
        rates = read_rates(payload)
        kept = inside(rates.sessions, request.first, request.last)
        rates = FxRates(rates.currencies[kept], rates.sessions[kept], rates.units_per_euro[kept])
        return FetchResult(payloads=(payload,), fx_rates=rates, missing=_without_rate(wanted, rates, request))

    def _ask(self, wanted: tuple[str, ...], request: FetchRequest) -> Answer:
        params = {
            "startPeriod": f"{request.first}",
            "endPeriod": f"{request.last}",
            "format": "csvdata",
            "detail": "dataonly",  # an eighth of the size: 12 MB for all currencies since 1999
        }
        with vendor_session(self._vendor, self._policy) as session:
            return session.get(_named(wanted), f"/service/data/EXR/D.{'+'.join(wanted)}.EUR.SP00.A", params)


def read_rates(payload: Payload) -> FxRates:
    """The rates of an ``EXR`` table, in its order.

    Raises
    ------
    PayloadRefusedError
        If it is not of the documented shape.
    """
    columns = read_table(ECB.name, payload, REQUIRED)
    if set(columns["CURRENCY_DENOM"]) - {EURO}:
        raise refused(SCHEMA_DRIFT, "rates are not against the euro", ECB.name, payload)
    rates = read_numbers(ECB.name, payload, columns["OBS_VALUE"], MISSING)
    given = ~np.isnan(rates)
    sessions = read_days(ECB.name, payload, columns["TIME_PERIOD"])
    return FxRates(np.array(columns["CURRENCY"], dtype="S3")[given], sessions[given], rates[given])


def no_rates() -> FxRates:
    """Rates of a period without a publication."""
    return FxRates(np.array([], dtype="S3"), np.array([], dtype="datetime64[D]"), np.array([]))


def _named(wanted: tuple[str, ...]) -> str:
    return f"EXR {'+'.join(wanted) or 'of all currencies'}"


def _without_rate(wanted: tuple[str, ...], rates: FxRates, request: FetchRequest) -> dict[str, str]:
    published = set(rates.currencies.tolist())
    reason = f"The ECB publishes no rate between {request.first} and {request.last}"
    return {currency: reason for currency in wanted if currency.encode() not in published}

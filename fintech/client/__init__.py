"""A typed client of the API.

>>> import fintech
>>> fintech.Client().risk("core").to_df()
"""

from __future__ import annotations

from fintech.client.access import Access
from fintech.client.forecasts import Forecasting
from fintech.client.market_data import MarketData
from fintech.client.portfolios import Portfolios
from fintech.client.risk import Risk
from fintech.client.simulations import Simulations


class Client(MarketData, Risk, Portfolios, Simulations, Forecasting, Access):
    """The API as Python objects, over one pool of connections; for several threads.

    A request is repeated after 429, 503 and lost connections, when ``Retry-After`` says so or after a pause; one that
    stores something is sent under an ``Idempotency-Key``, so that it is carried out once. Everything else that is no
    success is raised.

    Parameters
    ----------
    url
        Address of the gateway.
    api_key
        Of a user (`fintech keys add`), sent as a bearer token, as an access token may be. None takes
        ``FINTECH_API_KEY`` of the environment, if it is set.
    timeout
        Seconds to wait for an answer.

    Raises
    ------
    ProblemError
        By every method, if the API refuses; it carries the problem document.
    UnreachableError
        By every method, if no answer comes.
    """

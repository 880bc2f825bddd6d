"""Forms that another site makes a browser send are refused (OWASP Cross-Site Request Forgery Prevention Cheat Sheet).

Browsers say where a form stands by ``Sec-Fetch-Site``; older ones by ``Origin`` alone. What says neither is refused:
programs use the API, which takes no cookie.
"""

from __future__ import annotations

from urllib.parse import urlsplit

from starlette.exceptions import HTTPException
from starlette.requests import Request


def require_same_origin(request: Request) -> None:
    """Refuse a form that was not sent by a page of this service.

    Raises
    ------
    HTTPException
        403.
    """
    site = request.headers.get("sec-fetch-site")
    if site is not None:
        is_own = site == "same-origin"
    else:
        is_own = urlsplit(request.headers.get("origin", "")).netloc == request.headers.get("host")
    if not is_own:
        raise HTTPException(403, "This form was not sent by a page of this service.")

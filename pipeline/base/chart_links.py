"""Addresses of charts that a page elsewhere can embed: an ``img`` sends no header, so the address itself is the key.

A signature opens one chart, to read, and nothing else. It does not expire, because Dagster keeps the pages that hold
it for ever; a new `SERVICE_API_KEY` takes all of them back. Signature: HMAC-SHA-256 (RFC 2104), cut to 128 bits as
section 5 there allows.
"""

from __future__ import annotations

import hmac
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from urllib.parse import quote, urlencode

CHARTS = "/charts/"
SIGNATURE = "signature"
"""Name of the last parameter of a signed address."""
_PURPOSE = b"fintech chart\0"
_BYTES = 16


def chart_path(kind: str, subject: str, query: Mapping[str, str | int] | None = None) -> str:
    """Path and query of a chart."""
    path = f"{CHARTS}{quote(kind, safe='')}/{quote(subject, safe='')}.svg"
    return f"{path}?{urlencode(query)}" if query else path


def signed(path: str, key: str) -> str:
    """Path and query of a chart with the signature that opens it."""
    return f"{path}{'&' if '?' in path else '?'}{SIGNATURE}={signature_of(path, key)}"


def signature_of(path: str, key: str) -> str:
    """The signature of a path and its query: 22 letters."""
    digest = hmac.digest(key.encode(), _PURPOSE + path.encode(), "sha256")
    return urlsafe_b64encode(digest[:_BYTES]).decode().rstrip("=")


def is_signed(path: str, query: str, key: str) -> bool:
    """Whether a request's path and query, as they were sent, end with the signature of what stands before it.

    Parameters
    ----------
    path
        Escaped, as in the request line.
    """
    head, found, given = query.rpartition(f"{SIGNATURE}=")
    if not found or not path.startswith(CHARTS) or (head and not head.endswith("&")):
        return False
    asked = f"{path}?{head[:-1]}" if head else path
    return hmac.compare_digest(given.encode(), signature_of(asked, key).encode())

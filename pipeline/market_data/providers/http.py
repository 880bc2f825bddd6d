"""One HTTP session a vendor: time-outs, a deadline, retries that listen to the vendor, and a pace.

The client is httpx's asynchronous one in a thread of its own, because only there can a deadline end an answer
that arrives byte by byte: each byte restarts the read time-out of a blocking client. Nothing here parses.
"""

from __future__ import annotations

import ssl
import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import cache, partial
from threading import Lock

import anyio
import httpx
import stamina
from anyio.from_thread import BlockingPortal, start_blocking_portal

from pipeline.market_data.providers.errors import ProviderError
from pipeline.market_data.providers.vendors import Answer, Key, RetryPolicy, Vendor

OK = frozenset({200})
KEY_REFUSED = frozenset({401, 403})
NOT_FOUND = 404
TOO_MANY_REQUESTS = 429
WORTH_RETRYING = frozenset({TOO_MANY_REQUESTS, 500, 502, 503, 504})

LEAST_MASKED = 16
"""Characters of a key that is looked for in answers: keys have 32 or more; a short word may belong to the data."""

LATER = "Run again later; rows that are stored stay as they are."
FEWER = "Run again later, or ask for less: fewer FINTECH_SYMBOLS, or a higher limit at the vendor."


class NotFoundAtVendorError(ProviderError):
    """The vendor does not know what was asked for (HTTP 404)."""


class _TryAgainError(Exception):
    """An attempt failed in a way that another may not."""

    def __init__(self, cause: str, remedy: str = LATER, wait_seconds: float | None = None) -> None:
        super().__init__(cause)
        self.remedy = remedy
        self.wait_seconds = wait_seconds


class VendorSession:
    """Requests to one vendor over one connection; `vendor_session` opens it."""

    def __init__(
        self, vendor: Vendor, policy: RetryPolicy, key: Key | None, client: httpx.AsyncClient, portal: BlockingPortal
    ) -> None:
        self._vendor = vendor
        self._policy = policy
        self._key = key
        self._client = client
        self._portal = portal

    def get(
        self, what: str, path: str, params: Mapping[str, str] | None = None, expected: Collection[int] = OK
    ) -> Answer:
        """Ask until there is an answer or the policy ends it.

        Parameters
        ----------
        what
            As messages name it.
        expected
            Statuses that the caller reads itself.

        Raises
        ------
        NotFoundAtVendorError
            If the status is 404.
        ProviderError
            If there is no answer, or one that says no.
        """
        policy, end = self._policy, time.monotonic() + self._policy.total_seconds
        try:
            for attempt in stamina.retry_context(
                on=partial(self._wait_after, end),
                attempts=policy.attempts,
                timeout=policy.total_seconds,
                wait_initial=policy.first_wait_seconds,
                wait_max=policy.longest_wait_seconds,
                wait_jitter=policy.jitter_seconds,
            ):
                with attempt:
                    return self._attempt(what, path, params or {}, expected, end)
        except _TryAgainError as failure:
            cause = f"{self._vendor.name} gave no usable answer for {what} ({attempt.num} attempts): {failure}"
            raise ProviderError(cause, failure.remedy) from None
        raise AssertionError("every attempt returns or raises")

    def _wait_after(self, end: float, error: Exception) -> bool | float:
        """Whether to try again, and after how many seconds if the vendor said so (a hook of stamina)."""
        if not isinstance(error, _TryAgainError):
            return False
        wait = error.wait_seconds
        if wait is None:
            return True
        return wait if wait <= self._policy.longest_wait_seconds and time.monotonic() + wait < end else False

    def _attempt(
        self, what: str, path: str, params: Mapping[str, str], expected: Collection[int], end: float
    ) -> Answer:
        _pace_of(self._vendor).wait(self._vendor.spacing_seconds)
        seconds = max(min(self._policy.attempt_seconds, end - time.monotonic()), 0.0)
        answer = self._masked(self._portal.call(self._exchange, what, self._request(path, params), seconds))
        if answer.status == TOO_MANY_REQUESTS or (answer.status in OK and self._vendor.is_throttled(answer)):
            raise self._throttled(answer)
        if answer.status in expected:
            return answer
        raise self._refusal(what, answer)

    def _request(self, path: str, params: Mapping[str, str]) -> httpx.Request:
        """A request whose address, which logs and errors show, lacks the key; only the bytes sent have it."""
        request = self._client.build_request("GET", path, params=params or None)
        if self._key and self._key.place == "query":
            url = request.url.copy_add_param(self._key.name, self._key.secret.get_secret_value())
            request.extensions["target"] = url.raw_path
        elif self._key:
            request.headers["Authorization"] = f"{self._key.name} {self._key.secret.get_secret_value()}"
        return request

    async def _exchange(self, what: str, request: httpx.Request, seconds: float) -> Answer:
        try:
            with anyio.fail_after(seconds):
                response = await self._client.send(request, stream=True)
                try:
                    return await self._read(what, response)
                finally:
                    await response.aclose()
        except TimeoutError:
            raise _TryAgainError(f"the answer was not complete after {seconds:.3g} s") from None
        except httpx.RequestError as error:
            raise _TryAgainError(self._without_key(_failure(error, self._policy))) from None

    async def _read(self, what: str, response: httpx.Response) -> Answer:
        content = bytearray()
        async for part in response.aiter_bytes():
            content += part
            if len(content) > self._policy.max_bytes:
                raise ProviderError(
                    f"{self._vendor.name}'s answer for {what} is longer than {self._policy.max_bytes:,} bytes",
                    "Ask for fewer months at once.",
                )
        headers = response.headers
        return Answer(
            response.status_code,
            headers.get("content-type", ""),
            bytes(content),
            "content-length" in headers or "transfer-encoding" in headers or response.http_version == "HTTP/2",
            headers.get("retry-after"),
        )

    def _throttled(self, answer: Answer) -> _TryAgainError:
        wait = retry_after_seconds(answer.retry_after, datetime.now(UTC))
        asks = "" if wait is None else f"; it asks to wait {wait:.0f} s"
        said = self._without_key(answer.text)
        return _TryAgainError(f"too many requests (HTTP {answer.status}, {said}){asks}", FEWER, wait)

    def _refusal(self, what: str, answer: Answer) -> Exception:
        name, variable = self._vendor.name, self._vendor.key_variable
        said = f"HTTP {answer.status}, {self._without_key(answer.text)}"
        if answer.status in WORTH_RETRYING:
            return _TryAgainError(said, LATER, retry_after_seconds(answer.retry_after, datetime.now(UTC)))
        if answer.status == NOT_FOUND:
            return NotFoundAtVendorError(f"{name} does not know {what} ({said})", "Check how the vendor spells it.")
        if answer.status in KEY_REFUSED and variable:
            return key_refused(name, variable, said)
        return ProviderError(f"{name} refuses the request for {what} ({said})", "See docs/providers.md.")

    def _masked(self, answer: Answer) -> Answer:
        """The answer without the key, which a page that repeats the request would bring into what is kept."""
        secret = self._key.secret.get_secret_value().encode() if self._key else b""
        if len(secret) < LEAST_MASKED or secret not in answer.content:
            return answer
        return replace(answer, content=answer.content.replace(secret, b"***"))

    def _without_key(self, text: str) -> str:
        return text.replace(self._key.secret.get_secret_value(), "***") if self._key else text


def key_refused(vendor: str, variable: str, said: str) -> ProviderError:
    """The error for a key that the vendor does not take."""
    return ProviderError(
        f"{vendor} refuses the key in {variable} ({said})",
        f"Correct {variable} in the environment or in .env: docs/providers.md says where keys come from.",
        exit_code=2,
    )


@contextmanager
def vendor_session(vendor: Vendor, policy: RetryPolicy, key: Key | None = None) -> Iterator[VendorSession]:
    """Open a session, and close it at the end of the block."""
    client = httpx.AsyncClient(
        base_url=vendor.base_url,
        headers={"User-Agent": "fintech-platform"},
        timeout=httpx.Timeout(policy.read_seconds, connect=policy.connect_seconds),
        limits=httpx.Limits(max_connections=1),
        verify=_certificates(),
    )
    with start_blocking_portal() as portal, portal.wrap_async_context_manager(client):
        yield VendorSession(vendor, policy, key, client, portal)


def retry_after_seconds(value: str | None, now: datetime) -> float | None:
    """Seconds that a ``Retry-After`` asks for, as seconds or as a date (RFC 9110, 10.2.3); None if it is neither."""
    if value is None:
        return None
    if value.isascii() and value.strip().isdigit():
        return float(value)
    try:
        moment = parsedate_to_datetime(value)
    except ValueError:
        return None
    return max((moment.replace(tzinfo=moment.tzinfo or UTC) - now).total_seconds(), 0.0)


def _failure(error: httpx.RequestError, policy: RetryPolicy) -> str:
    said = f": {error}" if str(error) else ""
    match error:
        case httpx.ConnectTimeout():
            return f"no connection after {policy.connect_seconds:.3g} s"
        case httpx.TimeoutException():
            return f"nothing came for {policy.read_seconds:.3g} s"
        case httpx.ConnectError():
            return f"it cannot be reached{said}"
        case _:
            return f"the connection broke off{said}"


@cache
def _certificates() -> ssl.SSLContext:
    return httpx.create_ssl_context()  # 50 ms, so once a process


class _Pace:
    """Keeps the starts of requests apart, over all sessions and threads of the process."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._next = 0.0

    def wait(self, spacing_seconds: float) -> None:
        with self._lock:
            now = time.monotonic()
            start = max(now, self._next)
            self._next = start + spacing_seconds
        time.sleep(start - now)


@cache
def _pace_of(vendor: Vendor) -> _Pace:  # noqa: ARG001 - the key of the cache
    return _Pace()

"""A POST with an ``Idempotency-Key`` is carried out once, however often it is sent within 24 hours.

The key belongs to its caller and to one request. Sent again, the request gets the first one's answer; another request
under the same key is refused with 422, and one that is still being answered with 409 (as in
draft-ietf-httpapi-idempotency-key-header-07, 2025). `pipeline.store.idempotency` says why a crash changes none of that.

What was refused for a reason that passes (`PASSING`), or failed, was not carried out and may be tried again at once.

Some bodies hold a password. What is kept of a request is a digest by a key that is not in the database, over its caller
and `Idempotency-Key` as well: nobody who has a copy of the table can try passwords on it, or see which two are equal.

A gateway leaves the requests that it forwards to their service, which alone knows what it has committed.
"""

from __future__ import annotations

import hmac
import logging
import re
import time
from collections.abc import Callable
from functools import partial
from hashlib import blake2b
from http import HTTPStatus
from typing import TYPE_CHECKING
from uuid import uuid4

import orjson
from fastapi import Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pipeline.base.errors import PlatformError
from pipeline.base.settings import Settings
from pipeline.store.idempotency import Claim, KnownRequest, claim, give_up, keep_answer, note_written, prune
from serving.caching.keys import CALLER
from serving.deps import ON_WRITE
from serving.edge.bodies import in_one_piece
from serving.edge.clients import client_of
from serving.errors import answer_platform_error, problem
from serving.forwarding.messages import read_body

if TYPE_CHECKING:
    from serving.deps import Connections

logger = logging.getLogger("serving")

HEADER = b"idempotency-key"
KEY = re.compile(rb"[!-~]{1,255}")
APPLIES_TO = "/api/"
KEPT_BYTES = 1024 * 1024
"""Of an answer; what is longer was computed, not written, and is computed again."""
RETRY_SECONDS = 1
PRUNE_SECONDS = 600.0
"""Between two removals of old records by one process."""

PASSING = frozenset(
    {
        HTTPStatus.UNAUTHORIZED,
        HTTPStatus.FORBIDDEN,
        HTTPStatus.CONFLICT,
        HTTPStatus.PRECONDITION_FAILED,
        HTTPStatus.TOO_MANY_REQUESTS,
    }
)
"""Refusals of who asks, of what there is, or of now: the same request may be carried out later."""

_CREDENTIALS = frozenset({b"authorization", b"cookie", b"x-api-key"})
_NOBODY = HTTPStatus.UNAUTHORIZED
"""To whom nothing is done: what was written is a note of the failure, as in the audit log."""
_REPLAYED = (b"idempotency-replayed", b"true")


class IdempotencyMiddleware:
    """Carry a POST with a key out once.

    Parameters
    ----------
    app
        What carries it out; its body has been read and limited before.
    forwards
        Whether a request is answered by another service.
    digest_key
        Of the digests of requests: see `digest_key`.
    """

    def __init__(self, app: ASGIApp, forwards: Callable[[Scope], bool], digest_key: bytes) -> None:
        self._app = app
        self._forwards = forwards
        self._digest_key = digest_key
        self._prune_at = time.monotonic() + PRUNE_SECONDS

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Carry the request out, answer as before, or refuse it."""
        if scope["type"] != "http" or scope["method"] != "POST" or not scope["path"].startswith(APPLIES_TO):
            await self._app(scope, receive, send)
            return
        keys = [value for name, value in scope["headers"] if name == HEADER]
        if not keys or self._forwards(scope):
            await self._app(scope, receive, send)
        elif len(keys) > 1 or not KEY.fullmatch(keys[0]):
            await _bad_key()(scope, receive, send)
        else:
            body = await read_body(receive)
            if body is not None:
                await self._once(_claim_of(scope, keys[0], body, self._digest_key), body, scope, receive, send)

    async def _once(self, wanted: Claim, body: bytes, scope: Scope, receive: Receive, send: Send) -> None:
        connections: Connections = scope["app"].state.connections
        try:
            known = await run_in_threadpool(self._claim, connections, wanted)
        except PlatformError as error:
            await (await answer_platform_error(Request(scope), error))(scope, receive, send)
            return
        if known is not None:
            await _answer_again(known, wanted, scope, receive, send)
            return
        recorder = _Recorder(send)
        committing = ON_WRITE.set(partial(note_written, claimed=wanted))
        try:
            await self._app(scope, in_one_piece(body, receive), recorder)
        finally:
            ON_WRITE.reset(committing)
            await self._settle(connections, wanted, recorder)
        await recorder.send_on()

    def _claim(self, connections: Connections, wanted: Claim) -> KnownRequest | None:
        is_due = time.monotonic() >= self._prune_at
        if is_due:
            self._prune_at = time.monotonic() + PRUNE_SECONDS
        with connections.writing() as connection:
            if is_due:
                prune(connection)
            return claim(connection, wanted)

    async def _settle(self, connections: Connections, claimed: Claim, recorder: _Recorder) -> None:
        """Keep the answer before it is sent. A failure costs the answer, not what was written."""
        try:
            await run_in_threadpool(_settle, connections, claimed, recorder)
        except PlatformError as error:
            logger.error("The answer to a request with an Idempotency-Key could not be kept: %s", error)


def digest_key(settings: Settings) -> bytes:
    """Key of the digests of requests, the same for every process of an installation.

    On a machine of one's own there may be no secret: then it is the address of the database, which a copy of its tables
    does not tell.
    """
    secret = settings.jwt_secret or settings.database_url
    assert secret is not None  # required before
    # Not the secret itself, by which tokens are signed.
    return blake2b(secret.get_secret_value().encode(), digest_size=32, person=b"idempotency").digest()


def _settle(connections: Connections, claimed: Claim, recorder: _Recorder) -> None:
    start = recorder.start
    with connections.writing() as connection:
        if start is None or start["status"] >= HTTPStatus.INTERNAL_SERVER_ERROR or recorder.is_too_long:
            give_up(connection, claimed)
        elif start["status"] in PASSING and give_up(connection, claimed, notes=start["status"] == _NOBODY):
            return
        elif recorder.is_secret:
            keep_answer(connection, claimed, start["status"], None, None)
        else:
            headers = [[name.decode("latin-1"), value.decode("latin-1")] for name, value in start.get("headers", ())]
            keep_answer(connection, claimed, start["status"], orjson.dumps(headers), recorder.body)


class _Recorder:
    """A `send` that holds an answer back until it is kept; one that is too long passes."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._messages: list[Message] = []
        self._length = 0
        self.start: Message | None = None
        self.is_too_long = False

    async def __call__(self, message: Message) -> None:
        if self.is_too_long:
            await self._send(message)
            return
        if message["type"] == "http.response.start":
            self.start = message
        self._messages.append(message)
        self._length += len(message.get("body", b""))
        if self._length > KEPT_BYTES:
            self.is_too_long = True
            await self.send_on()

    @property
    def body(self) -> bytes:
        return b"".join(message.get("body", b"") for message in self._messages)

    @property
    def is_secret(self) -> bool:
        """Whether the answer may be kept by nobody, as a new key or token."""
        headers = self.start.get("headers", ()) if self.start is not None else ()
        return any(
            name.lower() == b"set-cookie" or (name.lower() == b"cache-control" and b"no-store" in value.lower())
            for name, value in headers
        )

    async def send_on(self) -> None:
        """Send what was held back."""
        messages, self._messages = self._messages, []
        for message in messages:
            await self._send(message)


async def _answer_again(known: KnownRequest, wanted: Claim, scope: Scope, receive: Receive, send: Send) -> None:
    if known.request == wanted.request and known.headers is not None and known.body is not None:
        headers = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in orjson.loads(known.headers)]
        await send({"type": "http.response.start", "status": known.status, "headers": [*headers, _REPLAYED]})
        await send({"type": "http.response.body", "body": known.body})
        return
    await _refusal(known, wanted)(scope, receive, send)


def _refusal(known: KnownRequest, wanted: Claim) -> Response:
    if known.request != wanted.request:
        return problem(
            HTTPStatus.UNPROCESSABLE_ENTITY,
            "Idempotency-Key: was sent before with another address or body",
            remedy="Make a new key for each request, and keep it for sending the same one again.",
        )
    if known.state != "done" and not known.is_abandoned:
        return problem(
            HTTPStatus.CONFLICT,
            "The first request with this Idempotency-Key is still being answered.",
            {"Retry-After": str(RETRY_SECONDS)},
            remedy=f"Send it again after {RETRY_SECONDS} s to have its answer.",
        )
    why = "may not be kept" if known.state == "done" else "was lost"
    return problem(
        HTTPStatus.CONFLICT,
        f"The request with this Idempotency-Key has been carried out; its answer {why}.",
        remedy="Read what it has written; send it with another key to do it again.",
    )


def _bad_key() -> Response:
    return problem(
        HTTPStatus.UNPROCESSABLE_ENTITY,
        "Idempotency-Key: needs to be one value of 1 to 255 visible ASCII characters",
        remedy="Send a random UUID.",
    )


def _claim_of(scope: Scope, key: bytes, body: bytes, digest_key: bytes) -> Claim:
    query: bytes = scope["query_string"]
    caller = _caller_of(scope)
    parts = (caller.encode(), key, scope["method"].encode(), scope["path"].encode("utf-8", "surrogatepass"), query)
    request = hmac.digest(digest_key, b"\0".join(part.hex().encode() for part in parts) + b"\0" + body, "sha256")
    return Claim(caller, key.decode("ascii"), request, uuid4())


def _caller_of(scope: Scope) -> str:
    """Who asks, as a digest: the login, else what would prove one, else the client's address."""
    caller: object = scope.get(CALLER)
    if caller is None:
        caller = [pair for pair in scope["headers"] if pair[0] in _CREDENTIALS] or client_of(scope)
    return blake2b(repr(caller).encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()

"""From credentials to a caller: by memory for a while, else by signature and a look into the database."""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from http import HTTPStatus

from anyio import to_thread
from starlette.types import ASGIApp, Scope

from pipeline.base.chart_links import CHARTS, is_signed
from pipeline.store.api_keys import read_holder
from pipeline.store.refresh_tokens import read_session
from serving.auth.headers import Credentials
from serving.auth.memo import Memo
from serving.auth.tokens import Audience, InvalidTokenError, Tokens
from serving.callers import SERVICE, Caller, of_role, restricted
from serving.deps import Connections

Found = tuple[Caller, float | None]
"""A caller, and until when the credentials last (seconds since 1970)."""
Guess = Callable[[], AbstractContextManager[None]]
"""What is held around the look for a key."""


class UnknownCallerError(Exception):
    """Credentials that prove nothing.

    Parameters
    ----------
    detail
        What the caller is told, which is the same whatever is wrong with a token or key.
    """

    status = HTTPStatus.UNAUTHORIZED

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.detail = detail


class TooManyGuessesError(Exception):
    """A client whose keys are not looked up for now.

    Parameters
    ----------
    answer
        What it is told.
    """

    def __init__(self, answer: ASGIApp) -> None:
        super().__init__()
        self.answer = answer


class Checker:
    """Checks credentials.

    Parameters
    ----------
    tokens
        Of the installation.
    service_key
        What services send each other.
    believes_services
        Whether a service may say who asks: not a gateway, which stands in front of the others.
    memo
        What was checked a moment ago.
    """

    def __init__(self, tokens: Tokens, service_key: str, *, believes_services: bool, memo: Memo | None = None) -> None:
        self._tokens = tokens
        self._service_key = service_key.encode()
        self._believes_services = believes_services
        self._memo = memo or Memo()
        self._flights: dict[bytes, asyncio.Future[Found]] = {}

    def is_service(self, credentials: Credentials) -> bool:
        """Whether another service of the installation asks; takes the same time for every wrong key of its length."""
        return credentials.kind == "service" and hmac.compare_digest(credentials.value, self._service_key)

    def opens_chart(self, scope: Scope) -> bool:
        """Whether a request reads a chart by its signed address."""
        if scope["method"] not in ("GET", "HEAD") or not scope["path"].startswith(CHARTS):
            return False
        path, query = scope["raw_path"].decode("latin-1"), scope["query_string"].decode("latin-1")
        return is_signed(path.partition("?")[0], query, self._service_key.decode())

    async def caller_of(self, credentials: Credentials, connections: Connections, guess: Guess) -> Caller:
        """The caller.

        A token is looked up only if this installation has signed it; a key may be a guess.

        Raises
        ------
        UnknownCallerError
            If the credentials are unknown, over or revoked.
        TooManyGuessesError
            If `guess` raises it.
        DatabaseError
            If the database has to be asked, and does not answer.
        """
        if credentials.kind == "service":
            return self._service(credentials)
        digest = self._memo.digest(credentials.kind, credentials.value)
        caller = self._memo.get(digest)
        if caller is not None:
            return caller
        with guess() if credentials.kind == "key" else nullcontext():
            return await self._looked_up(digest, credentials, connections)

    def _service(self, credentials: Credentials) -> Caller:
        if not self.is_service(credentials):
            raise UnknownCallerError("The service token is not that of this installation.")
        if not credentials.vouched or not self._believes_services:
            return SERVICE
        digest = self._memo.digest("vouched", credentials.vouched)
        caller = self._memo.get(digest)
        if caller is None:
            try:
                caller, expires_at = self._tokens.read_vouched(credentials.vouched)
            except InvalidTokenError:
                raise UnknownCallerError("The gateway's word for its caller is not valid.") from None
            self._memo.put(digest, caller, expires_at)
        return caller

    async def _looked_up(self, digest: bytes, credentials: Credentials, connections: Connections) -> Caller:
        """Ask once for all requests that wait for the same answer."""
        flight = self._flights.get(digest)
        if flight is None:
            look_up = self._look_up(credentials)
            flight = asyncio.ensure_future(to_thread.run_sync(look_up, connections, abandon_on_cancel=True))
            self._flights[digest] = flight
            flight.add_done_callback(lambda ended: self._ended(digest, ended))
        caller, _ = await asyncio.shield(flight)
        return caller

    def _ended(self, digest: bytes, flight: asyncio.Future[Found]) -> None:
        self._flights.pop(digest, None)
        if not flight.cancelled() and flight.exception() is None:
            caller, expires_at = flight.result()
            self._memo.put(digest, caller, expires_at)

    def _look_up(self, credentials: Credentials) -> Callable[[Connections], Found]:
        if credentials.kind == "key":
            return _by_key(credentials.value)
        audience: Audience = "fintech-pages" if credentials.kind == "session" else "fintech-api"
        return self._by_token(credentials.value, audience)

    def _by_token(self, token: bytes, audience: Audience) -> Callable[[Connections], Found]:
        try:
            claims = self._tokens.read_user(token, audience)
        except InvalidTokenError:
            raise UnknownCallerError("The token is not valid or no longer valid.") from None

        def look_up(connections: Connections) -> Found:
            with connections.reading_once() as connection:
                found = read_session(connection, claims.user_id, claims.session)
            if found is None:
                raise UnknownCallerError("The token is not valid or no longer valid.")
            # The role of now, not that of the token: it may have been taken away since.
            return of_role(found.email, found.role, found.user_id, session=claims.session), claims.expires_at

        return look_up


def _by_key(key: bytes) -> Callable[[Connections], Found]:
    def look_up(connections: Connections) -> Found:
        with connections.writing() as connection:
            found = read_holder(connection, key.decode("latin-1"))
        if found is None:
            raise UnknownCallerError("The API key is not valid or no longer valid.")
        holder = of_role(found.email, found.role, found.user_id)
        return restricted(holder, frozenset(found.scopes), found.key_id), None

    return look_up

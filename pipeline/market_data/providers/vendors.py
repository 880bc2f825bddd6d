"""How vendors are reached: addresses, keys, paces, and how long one is waited for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from pydantic import SecretStr

from pipeline.base.errors import ConfigurationError
from pipeline.market_data.rules.unparsable_payload import excerpt


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How long a vendor is waited for.

    Parameters
    ----------
    attempts
        Requests for one thing at most.
    connect_seconds, read_seconds
        Until the connection stands, and between two parts of an answer.
    attempt_seconds, total_seconds
        For one answer as a whole, and for all attempts and the waits between them.
    first_wait_seconds, longest_wait_seconds, jitter_seconds
        Waits begin with the first and double, each with a random part; a vendor that asks for more than the
        longest is not waited for.
    max_bytes
        Longest answer that is read, unpacked.
    """

    attempts: int = 5
    connect_seconds: float = 10.0
    read_seconds: float = 20.0
    attempt_seconds: float = 60.0
    total_seconds: float = 300.0
    first_wait_seconds: float = 1.0
    longest_wait_seconds: float = 120.0
    jitter_seconds: float = 1.0
    max_bytes: int = 64 * 2**20


PATIENT = RetryPolicy()
"""For a run on a schedule, where nobody waits."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a vendor sent.

    Parameters
    ----------
    is_framed
        Whether the transfer says where it ends, by a length or by chunks.
    """

    status: int
    media_type: str
    content: bytes
    is_framed: bool
    retry_after: str | None = None

    @property
    def text(self) -> str:
        """The answer as a message may show it."""
        return excerpt(self.content[:1_000].decode("utf-8", errors="replace"))


def _never(_: Answer) -> bool:
    return False


@dataclass(frozen=True, slots=True)
class Vendor:
    """A vendor as it is reached.

    Parameters
    ----------
    name
        As messages name it.
    base_url
        What paths are appended to.
    spacing_seconds
        Between the starts of two requests of this process.
    key_variable
        Setting that holds its key, for messages.
    is_throttled
        Whether an answer with status 200 says, in its own words, that there were too many requests.
    """

    name: str
    base_url: str
    spacing_seconds: float
    key_variable: str = ""
    is_throttled: Callable[[Answer], bool] = field(default=_never)


@dataclass(frozen=True, slots=True)
class Key:
    """A secret, and where the vendor wants it: behind a word in ``Authorization``, or as a parameter."""

    secret: SecretStr
    place: Literal["authorization", "query"]
    name: str


def key_of(secret: SecretStr | None, variable: str, place: Literal["authorization", "query"], name: str) -> Key:
    """The key that a setting holds.

    Raises
    ------
    ConfigurationError
        If it is not set, or has characters that no key has.
    """
    text = secret.get_secret_value().strip() if secret else ""
    if not text:
        raise ConfigurationError(
            f"{variable} is not set",
            f"Set {variable} in the environment or in .env; docs/providers.md says where keys come from.",
            exit_code=2,
        )
    if not (text.isascii() and text.isprintable()) or " " in text:
        raise ConfigurationError(
            f"{variable} has a character that no key has",
            "Take it over from the vendor again, without quotation marks.",
            exit_code=2,
        )
    return Key(SecretStr(text), place, name)

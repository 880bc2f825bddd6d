"""What providers say when they cannot deliver."""

from __future__ import annotations

from collections.abc import Sequence

from pipeline.base.errors import PlatformError
from pipeline.market_data.providers.protocol import Payload


class ProviderError(PlatformError):
    """A provider has no usable answer; the message names provider, cause and remedy."""


class PayloadRefusedError(ProviderError):
    """A payload that must not be read at all.

    Parameters
    ----------
    rule
        Name of the rule that refuses it.
    payloads
        What the vendor sent, so that it can be kept and looked at; none for data of an installed package.
    """

    def __init__(self, rule: str, cause: str, remedy: str, payloads: Sequence[Payload] = ()) -> None:
        super().__init__(cause, remedy)
        self.rule = rule
        self.payloads = tuple(payloads)

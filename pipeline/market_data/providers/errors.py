"""What providers say when they cannot deliver."""

from __future__ import annotations

from pipeline.base.errors import PlatformError


class ProviderError(PlatformError):
    """A provider has no usable answer; the message names provider, cause and remedy."""


class PayloadRefusedError(ProviderError):
    """A payload that must not be read at all.

    Parameters
    ----------
    rule
        Name of the rule that refuses it.
    """

    def __init__(self, rule: str, cause: str, remedy: str) -> None:
        super().__init__(cause, remedy)
        self.rule = rule

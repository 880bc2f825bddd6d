"""What providers say when they cannot deliver."""

from pipeline.base.errors import PlatformError


class ProviderError(PlatformError):
    """A provider has no usable answer; the message names provider, cause and remedy."""

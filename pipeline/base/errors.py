"""The one error family that a user is meant to read."""


class PlatformError(Exception):
    """A failure whose cause and remedy are known.

    The command line prints it as one line and exits with ``exit_code``; the API answers with a
    problem document. Anything that is not a `PlatformError` is a defect and keeps its traceback.

    Parameters
    ----------
    cause
        What went wrong, naming the value that was seen.
    remedy
        What the reader does about it.
    exit_code
        Process exit code for the command line.
    """

    def __init__(self, cause: str, remedy: str, *, exit_code: int = 1) -> None:
        super().__init__(f"{cause.rstrip('.')}. {remedy}")
        self.cause = cause
        self.remedy = remedy
        self.exit_code = exit_code


class ConfigurationError(PlatformError):
    """A setting is missing or has a value that cannot work."""


class DatabaseError(PlatformError):
    """Postgres is out of reach, of the wrong version, or out of space."""


class NotFoundError(PlatformError):
    """The thing that was asked for does not exist."""


class NotInstalledError(PlatformError):
    """A package that the question needs is not part of this process; another service has it."""


class ConflictError(PlatformError):
    """A caller's values are sound, and what is stored stands against them."""


class InvalidInputError(PlatformError):
    """A caller's values cannot be used; the message names the field."""

"""Why a rollout does not go on."""

from __future__ import annotations

from enum import IntEnum


class ExitCode(IntEnum):
    """What the command line answers with."""

    DONE = 0
    """Everything asked for serves."""
    ROLLED_BACK = 1
    """It failed or was cancelled; what served before serves again."""
    ROLLBACK_FAILED = 2
    """It failed, and at least one part is not what it was: the report says which."""
    REFUSED = 3
    """The input or the configuration cannot be used; nothing was changed."""


class RolloutError(Exception):
    """Its text names the part or the field, the cause and the remedy."""


class RefusedError(RolloutError):
    """The input or the configuration cannot be used."""


class DeployError(RolloutError):
    """The platform refused a deployment, lost it, or did not finish it in time."""


class GateError(RolloutError):
    """What was deployed does not answer as it must."""


class CancelledError(RolloutError):
    """SIGTERM or SIGINT arrived."""

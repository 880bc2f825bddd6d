"""What a platform must be able to do so that a rollout can run on it.

The command line opens the target that ``--target`` names (`deploy.rollout.command.open_target`): ``render`` is
`deploy.render.target.RenderTarget`, ``compose`` is ``deploy.rollout.compose.ComposeTarget(environment, compose_file,
addresses)``, whose ``environment`` is the project's name and whose ``addresses`` (by service, or ``dagster``) take the
place of those that the target would find itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from deploy.rollout.services import Part


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where the gates ask.

    Parameters
    ----------
    http
        Base address (``http://127.0.0.1:8000``) of the HTTP service of every service that has one, by service.
    dagster
        Base address of Dagster's webserver; its API is at ``/graphql`` below it.
    """

    http: Mapping[str, str]
    dagster: str


class Target(Protocol):
    """A platform that runs the parts of the services.

    Every call is made from the main thread. On SIGTERM an exception rises out of whatever call is going on, so none
    may leave a lock or a half-written file behind.
    """

    @property
    def name(self) -> str:
        """Kind and environment (``render:staging``); a journal is used only for the target that it names."""

    def live_image(self, part: Part) -> str | None:
        """Reference by digest (``docker.io/acme/backend-api@sha256:…``) of what serves now; None if nothing does.

        Raises
        ------
        RefusedError
            If the platform does not know the part, or does not let this client in.
        """

    def deploy(self, part: Part, image: str) -> str:
        """Begin to replace what runs by the image, and return the deployment's id without waiting.

        The new container gets ``DAGSTER_CURRENT_IMAGE=<image>``: code locations show it in Dagster's workspace, HTTP
        services its digest in ``/health/ready``, and the gates tell by it who answers.

        Raises
        ------
        DeployError
            If the platform refuses.
        """

    def wait(self, part: Part, deployment: str, deadline: float) -> None:
        """Return once the platform calls the deployment live.

        Parameters
        ----------
        part, deployment
            As given to and by `deploy`.
        deadline
            Moment of `time.monotonic` at which to give up.

        Raises
        ------
        DeployError
            With the platform's cause, if the deployment failed or is not live in time.
        """

    def addresses(self) -> Addresses:
        """Where the gates ask.

        Raises
        ------
        RefusedError
            If an address is not known.
        """

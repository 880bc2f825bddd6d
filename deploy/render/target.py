"""Rollouts on Render: a service there for every part, named ``<part>-<environment>``."""

from __future__ import annotations

import time
from collections.abc import Mapping

from deploy.render.api import Deploy, RenderApi, Service
from deploy.render.hooks import call_hook
from deploy.rollout.environment import Environment
from deploy.rollout.errors import DeployError, RefusedError
from deploy.rollout.images import digest_of
from deploy.rollout.services import PARTS, Part, Role
from deploy.rollout.targets import Addresses

UNDER_WAY = frozenset({"created", "queued", "build_in_progress", "pre_deploy_in_progress", "update_in_progress"})
FAILED = frozenset({"build_failed", "pre_deploy_failed", "update_failed", "canceled", "deactivated"})
CURRENT_IMAGE = "DAGSTER_CURRENT_IMAGE"
APPEARING_SECONDS = 60.0
"""How long a queued deployment may take to be listed."""


class RenderTarget:
    """The services of one environment on Render.

    Parameters
    ----------
    environment
        ``staging`` or ``production``.
    variables
        Key, address of the API, deploy hooks.
    addresses
        Addresses for the gates in place of those that Render gives, by service, or ``dagster``.
    poll_seconds
        Between two looks at a deployment.

    Raises
    ------
    RefusedError
        If there is no key.
    """

    def __init__(
        self,
        environment: str,
        variables: Environment,
        addresses: Mapping[str, str] | None = None,
        *,
        poll_seconds: float = 3.0,
    ) -> None:
        if variables.render_api_key is None:
            raise RefusedError(
                "RENDER_API_KEY: not set; a deploy hook begins a deployment, but only the API tells what serves and how"
                " a deployment ends"
            )
        self._environment = environment
        self._api = RenderApi(variables.render_api_url, variables.render_api_key)
        self._hooks = variables.deploy_hooks
        self._addresses = dict(addresses or {})
        self._poll_seconds = poll_seconds
        self._services: dict[Part, Service] = {}

    @property
    def name(self) -> str:
        """Such as ``render:staging``."""
        return f"render:{self._environment}"

    def close(self) -> None:
        """Close the connections to Render."""
        self._api.close()

    def live_image(self, part: Part) -> str | None:
        """What serves now, as its last live deployment says."""
        live = next((one for one in self._api.deploys(self._service(part).id, 100) if one.status == "live"), None)
        return live.image if live else None

    def deploy(self, part: Part, image: str) -> str:
        """Begin a deployment, by the part's hook if there is one."""
        service = self._service(part)
        known = self._api.deploys(service.id)
        for other in known:
            if other.status in UNDER_WAY:  # it would go live after this one, or hold it up in the queue
                self._api.cancel_deploy(service.id, other.id)
        self._api.set_variable(service.id, CURRENT_IMAGE, image)
        hook = self._hooks.get(part.name)
        begun = call_hook(hook, image) if hook else self._api.begin_deploy(service.id, image)
        return begun or self._find_queued(part, image, {deploy.id for deploy in known})

    def wait(self, part: Part, deployment: str, deadline: float) -> None:
        """Return once Render calls the deployment live."""
        service = self._service(part)
        while (status := self._api.read_deploy(service.id, deployment).status) != "live":
            if status in FAILED:
                raise DeployError(f"{part.name}: Render says {status}; read the logs of {service.name}, {deployment}")
            if time.monotonic() > deadline:
                raise DeployError(
                    f"{part.name}: Render still says {status}; read the logs of {service.name}, {deployment}, or give"
                    " it longer (--deploy-seconds)"
                )
            time.sleep(self._poll_seconds)

    def addresses(self) -> Addresses:
        """The public addresses of the web services."""
        http = {part.service: self._address(part, part.service) for part in PARTS if part.role is Role.HTTP}
        webserver = next(part for part in PARTS if part.role is Role.WEBSERVER)
        return Addresses(http, self._address(webserver, "dagster"))

    def _address(self, part: Part, name: str) -> str:
        url = self._addresses.get(name) or self._service(part).url
        if url is None:
            raise RefusedError(
                f"--address: {self._service(part).name} has no public address; name one under which the gates reach it"
                f" ({name}=https://…)"
            )
        return url

    def _service(self, part: Part) -> Service:
        if part not in self._services:
            name = f"{part.name}-{self._environment}"
            found = self._api.service_named(name)
            if found is None:
                raise RefusedError(f"--environment: Render has no service {name}; create it from render.yaml first")
            if found.suspended:
                raise RefusedError(f"--environment: {name} is suspended on Render; resume it first")
            self._services[part] = found
        return self._services[part]

    def _find_queued(self, part: Part, image: str, known: set[str]) -> str:
        """The id of a deployment that was queued without telling it."""
        deadline = time.monotonic() + APPEARING_SECONDS
        while (found := self._new(part, image, known)) is None:
            if time.monotonic() > deadline:
                raise DeployError(
                    f"{part.name}: Render queued the deployment, but does not list it; look at its events"
                )
            time.sleep(self._poll_seconds)
        return found.id

    def _new(self, part: Part, image: str, known: set[str]) -> Deploy | None:
        deploys = [one for one in self._api.deploys(self._service(part).id) if one.id not in known]
        same = [one for one in deploys if one.image is None or digest_of(one.image) == digest_of(image)]
        return same[0] if same else None

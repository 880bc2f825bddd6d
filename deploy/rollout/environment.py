"""The variables that a rollout reads; no other module under ``deploy/`` looks at the environment.

===============================  ==================================================================================
``RENDER_API_KEY``               Key of Render's API. Needed by ``--target render``.
``RENDER_API_URL``               Where the API is; default ``https://api.render.com/v1``.
``RENDER_DEPLOY_HOOK_<PART>``    Deploy hook of a part, such as ``RENDER_DEPLOY_HOOK_PYTHON_RISK_ENGINE_LOCATION``;
                                 with it that part's deployments are begun by the hook.
``ROLLOUT_TOKEN``                Sent as a bearer token by the gates, for a webserver behind a login.
===============================  ==================================================================================
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field

from deploy.rollout.services import PARTS

RENDER_API_URL = "https://api.render.com/v1"


@dataclass(frozen=True, slots=True)
class Environment:
    """What the environment says; nothing secret is shown by ``repr``."""

    render_api_url: str = RENDER_API_URL
    render_api_key: str | None = field(default=None, repr=False)
    deploy_hooks: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Addresses by the part's name."""
    token: str | None = field(default=None, repr=False)

    @property
    def secrets(self) -> tuple[str, ...]:
        """What no output may hold."""
        given = (self.render_api_key, self.token, *self.deploy_hooks.values())
        return tuple(secret for secret in given if secret)


def hook_variable(part: str) -> str:
    """The variable that holds a part's deploy hook."""
    return f"RENDER_DEPLOY_HOOK_{part.upper().replace('-', '_')}"


def read_environment(variables: Mapping[str, str] | None = None) -> Environment:
    """Read the variables; those that are empty, as unset secrets of a workflow are, count as not set."""
    # A runner has no settings of the platform, and must not need pydantic to read three secrets.
    source = os.environ if variables is None else variables  # noqa: TID251
    given = {name: value.strip() for name, value in source.items() if value.strip()}
    hooks = {part.name: given.get(hook_variable(part.name)) for part in PARTS}
    return Environment(
        render_api_url=given.get("RENDER_API_URL", RENDER_API_URL).rstrip("/"),
        render_api_key=given.get("RENDER_API_KEY"),
        deploy_hooks={name: hook for name, hook in hooks.items() if hook},
        token=given.get("ROLLOUT_TOKEN"),
    )

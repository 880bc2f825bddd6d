"""Deploy hooks: one secret address a service, which begins a deployment.

As Render documents it (https://render.com/docs/deploy-hooks): a GET or POST without a body; the image, by tag or
digest, goes URL-encoded into the query parameter ``imgURL``, and all of it but tag or digest must be what the service
is configured with. A JSON body with ``image_url``, which some guides show, is not documented: without the parameter,
Render deploys the configured image. Ten calls a minute and service are allowed. The answer, which the page leaves
open, is in practice ``{"deploy": {"id": "dep-…"}}``; without an id, the deployment is looked for in the API's list.
"""

from __future__ import annotations

import httpx

from deploy.render.api import TIMEOUT, send
from deploy.rollout.errors import DeployError


def call_hook(hook: str, image: str) -> str | None:
    """Begin to deploy an image; the deployment's id, or None if the answer has none.

    Raises
    ------
    DeployError
        If Render refuses. It does not name the address, which is a secret.
    """
    with httpx.Client(timeout=TIMEOUT) as client:
        answer = send(client, "POST", str(httpx.URL(hook).copy_merge_params({"imgURL": image})))
    if answer.is_error:
        raise DeployError(
            f"the deploy hook answers {answer.status_code}; compare it with the service's settings, and the image's"
            " repository with the service's"
        )
    try:
        begun = answer.json()["deploy"]["id"]
    except (ValueError, KeyError, TypeError):
        return None
    return str(begun)

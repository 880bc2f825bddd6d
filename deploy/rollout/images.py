"""Images by digest: the only references that are deployed."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from deploy.rollout.errors import RefusedError
from deploy.rollout.services import ORDER

_BY_DIGEST = re.compile(r"[^\s@]+@sha256:[0-9a-f]{64}")


def digest_of(image: str) -> str:
    """``sha256:…`` of a reference by digest."""
    return image.rpartition("@")[2]


def check_image(service: str, image: str) -> str:
    """The reference, if it names the service's image by digest.

    Raises
    ------
    RefusedError
        If it is a tag, which may mean another image tomorrow, or the image of something else.
    """
    if not _BY_DIGEST.fullmatch(image):
        raise RefusedError(
            f"{service}: {image!r} is no image by digest; give REPOSITORY@sha256:<64 hexadecimal digits>, as the push"
            " printed it"
        )
    repository = image.partition("@")[0].rpartition("/")[2].partition(":")[0]
    if not repository.endswith(service):
        raise RefusedError(f"{service}: {image!r} is the image {repository!r}; give the image of {service}")
    return image


def read_images(path: Path | None, given: Iterable[str]) -> dict[str, str]:
    """Images by service, in the order of deployment.

    Parameters
    ----------
    path
        A JSON object of services and references, as the build writes it.
    given
        ``SERVICE=REFERENCE``; each takes the place of the file's.

    Raises
    ------
    RefusedError
        If the file cannot be read, or a service or a reference cannot be used.
    """
    images = _read_file(path) if path else {}
    for pair in given:
        service, equals, image = pair.partition("=")
        if not equals:
            raise RefusedError(f"--image: {pair!r} has no '='; give SERVICE=REPOSITORY@sha256:…")
        images[service] = image
    return check_images(images)


def check_images(images: Mapping[str, str]) -> dict[str, str]:
    """The same images in the order of deployment, each by digest."""
    if unknown := sorted(set(images) - set(ORDER)):
        raise RefusedError(f"images: there is no service {', '.join(unknown)}; choose among {', '.join(ORDER)}")
    return {service: check_image(service, images[service]) for service in ORDER if service in images}


def _read_file(path: Path) -> dict[str, str]:
    try:
        read = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise RefusedError(f"--images: {path} cannot be read ({error}); give the JSON that the build wrote") from error
    if not isinstance(read, dict) or not all(isinstance(image, str) for image in read.values()):
        raise RefusedError(f'--images: {path} is not an object of texts; write {{"SERVICE": "REPOSITORY@sha256:…"}}')
    return read

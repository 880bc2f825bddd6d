"""Run a command on Render with the addresses that a blueprint cannot put together: ``on_render.py COMMAND...``.

A blueprint hands over a database's address, or a service's ``host:port``, and no text around them
(https://render.com/docs/blueprint-spec#variable-interpolation). So ``render.yaml`` begins every command with this,
which adds to the environment

- ``<NAME>_URL=http://<host:port>`` for every ``<NAME>_HOSTPORT``;
- ``DAGSTER_DATABASE_URL``, which Dagster reads by itself: beside ``DATABASE_URL``, where ``fintech migrate`` makes it,
  and with the driver that dagster-postgres can write events by.

Only the standard library: ``dagster-host`` holds none of the project's packages.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from urllib.parse import urlsplit

HOSTPORT = "_HOSTPORT"


def main(command: list[str]) -> None:
    """Become the command; ends the process with a reason if it cannot."""
    if not command:
        sys.exit("on_render: no command was given; name one: on_render.py COMMAND...")
    # What an image of Dagster's host lacks is pipeline.base.settings, which reads the environment elsewhere.
    given = dict(os.environ)  # noqa: TID251
    try:
        os.execvpe(command[0], command, {**given, **addresses(given)})  # noqa: S606 - render.yaml's own words
    except ValueError as error:
        sys.exit(f"on_render: {error}")
    except OSError as error:
        sys.exit(f"on_render: {command[0]} cannot be run ({error.strerror}); check dockerCommand in render.yaml")


def addresses(given: Mapping[str, str]) -> dict[str, str]:
    """The variables that are added; none takes the place of one that is set.

    Raises
    ------
    ValueError
        If ``DATABASE_URL`` is not the address of a database.
    """
    made = {
        f"{name.removesuffix(HOSTPORT)}_URL": f"http://{value}"
        for name, value in given.items()
        if name.endswith(HOSTPORT) and value
    }
    if "DATABASE_URL" in given:
        made["DAGSTER_DATABASE_URL"] = dagster_address(given["DATABASE_URL"])
    return {name: value for name, value in made.items() if not given.get(name)}


def dagster_address(database: str) -> str:
    """Address of Dagster's own database on the server of the application's."""
    parts = urlsplit(database)
    if parts.scheme not in ("postgres", "postgresql") or not parts.path.strip("/"):
        raise ValueError("DATABASE_URL is no address of a database; write postgresql://user:password@host:5432/name")
    return parts._replace(scheme="postgresql+psycopg2", path=f"{parts.path}_dagster").geturl()


if __name__ == "__main__":
    main(sys.argv[1:])

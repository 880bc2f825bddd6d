"""``python -m serving [SERVICE ...]``: what each container image runs."""

from __future__ import annotations

import sys

from pipeline.base.errors import PlatformError
from pipeline.base.settings import load_settings
from serving.importing import uncollected

with uncollected():
    from serving.observability.log_lines import write_json_lines
    from serving.services import SERVICES, service_named
    from serving.workers import serve


def main(names: list[str]) -> int:
    """Serve the named services, or all; the exit code."""
    try:
        services = [service_named(name) for name in names] or SERVICES
        write_json_lines([service.name for service in services])
        serve(services, load_settings())
    except PlatformError as error:
        sys.stderr.write(f"error: {error}\n")
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

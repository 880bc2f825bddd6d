"""Who runs a command, for the audit log."""

from __future__ import annotations

import getpass

from pipeline.store.audit import Actor


def command_line_actor() -> Actor:
    """Whoever runs a command, for the audit log."""
    try:
        return Actor(f"command line ({getpass.getuser()})")
    except (KeyError, OSError):  # a container's user may have no name
        return Actor("command line")

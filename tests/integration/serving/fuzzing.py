"""Requests by the thousand that schemathesis makes from a service's own OpenAPI document, and judges by it.

This module is also the one whose hooks schemathesis loads, in a process of its own.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import schemathesis

from pipeline.base.settings import PROJECT_ROOT

KEPT, SPENT = "tech", "held"
"""Portfolio of the examples, without which most routes would answer 404 only; and what is changed and deleted instead.
"""
SEED = 20_221_228
_OWN = "/api/v1/portfolios/{reference}"


@dataclass(frozen=True, slots=True)
class Fuzzing:
    """What to send.

    Parameters
    ----------
    phases
        ``coverage`` sends each bound of each field, valid and not; ``examples`` and ``fuzzing`` what their names say.
    examples
        Most requests of ``fuzzing`` an operation and mode.
    token
        Sent as a bearer token; without one the service asks for none.
    options
        More of the command's.
    """

    phases: str = "examples,coverage,fuzzing"
    examples: int = 4
    token: str | None = None
    options: tuple[str, ...] = ()


def fuzz(port: int, fuzzing: Fuzzing) -> str:
    """Send what is asked to the service on a port; what was found wrong, or nothing.

    Two checks are left out. That what its schema allows is taken: no schema says that a cursor is another address's,
    or that a weight has no price. Without login, that an answer needs one.
    """
    excluded = ["positive_data_acceptance"] if fuzzing.token else ["positive_data_acceptance", "ignored_auth"]
    command = [
        str(Path(sys.executable).with_name("schemathesis")),
        *("run", f"http://127.0.0.1:{port}/openapi.json", "--no-color", "--warnings", "off"),
        *("--phases", fuzzing.phases, "--max-examples", str(fuzzing.examples), "--seed", str(SEED)),
        *("--generation-database", "none", "--continue-on-failure", "--request-timeout", "30"),
        *("--checks", "all", "--exclude-checks", ",".join(excluded)),
        *(("--header", f"Authorization:Bearer {fuzzing.token}") if fuzzing.token else ()),
        *fuzzing.options,
    ]
    environment = {"SCHEMATHESIS_HOOKS": __name__, "PYTHONPATH": str(PROJECT_ROOT), "PATH": "/usr/bin:/bin"}
    with tempfile.TemporaryDirectory(prefix="fintech-fuzz-") as folder:  # of its own notes
        run = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    return "" if run.returncode == 0 else run.stdout + run.stderr


@schemathesis.hook
def before_call(_: schemathesis.HookContext, case: schemathesis.Case, __: dict[str, Any]) -> None:
    """Spare the portfolio that the other requests ask for."""
    if case.method.upper() in ("DELETE", "PATCH") and case.path == _OWN:
        case.path_parameters = {**case.path_parameters, "reference": SPENT}

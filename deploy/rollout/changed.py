"""Which services a change touches, and which slices' tests it needs.

A service is touched if its image would behave differently: if it imports the code, or is built from the file. The
rules are kept equal to the imports by a test.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from deploy.rollout.errors import RefusedError
from deploy.rollout.services import ORDER

SLICES = ("market_data", "risk", "simulation", "forecast", "serving")
"""What is tested by itself."""

_MARKET_DATA, _RISK, _SIMULATION, _FORECAST, _BACKEND, _HOST = ORDER
_CODE = frozenset(ORDER) - {_HOST}
"""All but Dagster's host hold the project's code, and serve HTTP."""
_ALL = frozenset(ORDER)
_NONE: frozenset[str] = frozenset()
_TESTS = frozenset(SLICES)


@dataclass(frozen=True, slots=True)
class Rule:
    """What a path that begins with `prefix` touches; of several rules the longest prefix counts."""

    prefix: str
    services: frozenset[str]
    slices: frozenset[str] = _TESTS


RULES = (
    Rule("pipeline/", _CODE),
    Rule("pipeline/market_data/", frozenset({_MARKET_DATA}), frozenset({"market_data"})),
    # Services compute with the core of a slice, its models and measures, but import neither assets nor definitions.
    Rule("pipeline/risk/", _CODE, frozenset({"risk", "simulation", "forecast", "serving"})),
    Rule("pipeline/risk/assets/", frozenset({_RISK}), frozenset({"risk"})),
    Rule("pipeline/risk/definitions.py", frozenset({_RISK}), frozenset({"risk"})),
    Rule("pipeline/simulation/", _CODE, frozenset({"simulation", "serving"})),
    Rule("pipeline/simulation/assets/", frozenset({_SIMULATION}), frozenset({"simulation"})),
    Rule("pipeline/simulation/definitions.py", frozenset({_SIMULATION}), frozenset({"simulation"})),
    Rule("pipeline/forecast/", _CODE, frozenset({"forecast", "serving"})),
    Rule("pipeline/forecast/assets/", frozenset({_FORECAST}), frozenset({"forecast"})),
    Rule("pipeline/forecast/definitions.py", frozenset({_FORECAST}), frozenset({"forecast"})),
    Rule("serving/", _CODE, frozenset({"serving"})),
    Rule("fintech/", _CODE),
    Rule("deploy/", _NONE, _NONE),
    Rule("deploy/__init__.py", _ALL, _NONE),
    Rule("deploy/probe.py", _ALL, _NONE),
    Rule("deploy/on_render.py", _ALL, _NONE),
    Rule("deploy/on_render.py", _ALL, _NONE),
    Rule("deploy/workspace.yaml", frozenset({_HOST}), _NONE),
    Rule("deploy/render/workspace.yaml", frozenset({_HOST}), _NONE),
    Rule("deploy/render/workspace.yaml", frozenset({_HOST}), _NONE),
    Rule("deploy/scripts/install-locks.sh", _ALL, _NONE),
    Rule("deploy/scripts/cut-symbols.py", _ALL, _NONE),
    Rule("deploy/scripts/keep-bytecode.py", _ALL, _NONE),
    Rule("deploy/scripts/share-libpq.py", _ALL, _NONE),
    Rule("deploy/scripts/unpack-bytecode.py", _ALL, _NONE),
    Rule("deploy/scripts/with-kernels.sh", frozenset({_RISK, _SIMULATION, _FORECAST}), _NONE),
    Rule("requirements/", _NONE),
    Rule("requirements/uv.lock", _ALL),
    Rule("requirements/serving.lock", _CODE),
    Rule("requirements/gateway.lock", frozenset({_BACKEND})),
    Rule("requirements/market-data.lock", frozenset({_MARKET_DATA})),
    Rule("requirements/risk.lock", frozenset({_RISK})),
    Rule("requirements/simulation.lock", frozenset({_SIMULATION})),
    Rule("requirements/forecast.lock", frozenset({_FORECAST})),
    Rule("requirements/dagster-host.lock", frozenset({_HOST})),
    Rule("Dockerfile", _ALL, _NONE),
    Rule(".dockerignore", _ALL, _NONE),
    Rule("dagster.yaml", _ALL),
    Rule("pyproject.toml", _CODE),
    Rule("workspace.yaml", _NONE),
    Rule("tests/", _NONE),
    *(
        Rule(f"tests/{kind}/{name}/", _NONE, frozenset({name}))
        for kind in ("unit", "integration", "golden")
        for name in SLICES
    ),
    Rule("tests/containers/", _NONE, _NONE),
    Rule("Makefile", _NONE),
    Rule(".ci/", _NONE),
    Rule(".github/", _NONE),
    Rule("render.yaml", _NONE, _NONE),
    Rule(".env.example", _NONE),
    Rule(".gitignore", _NONE, _NONE),
    Rule(".hadolint.yaml", _NONE, _NONE),
    Rule(".yamllint.yaml", _NONE, _NONE),
    Rule(".hadolint.yaml", _NONE, _NONE),
    Rule(".yamllint.yaml", _NONE, _NONE),
    Rule("docs/", _NONE, _NONE),
    Rule("CHANGELOG.md", _NONE, _NONE),
    Rule("README.md", _NONE, _NONE),
    Rule("SECURITY.md", _NONE, _NONE),
    Rule("SECURITY.md", _NONE, _NONE),
    Rule("LICENSE", _NONE, _NONE),
)


@dataclass(frozen=True, slots=True)
class Changed:
    """What a change touches, each in its order."""

    services: tuple[str, ...]
    slices: tuple[str, ...]


EVERYTHING = Changed(ORDER, SLICES)


def rule_of(path: str) -> Rule | None:
    """The rule for a path of the repository; None if none was written."""
    fitting = [
        rule for rule in RULES if path == rule.prefix or (rule.prefix[-1] == "/" and path.startswith(rule.prefix))
    ]
    return max(fitting, key=lambda rule: len(rule.prefix), default=None)


def changed_by(paths: Iterable[str]) -> Changed:
    """What the paths touch together; one without a rule touches everything."""
    rules = [rule_of(path) or Rule(path, _ALL) for path in paths]
    return Changed(
        tuple(service for service in ORDER if any(service in rule.services for rule in rules)),
        tuple(name for name in SLICES if any(name in rule.slices for rule in rules)),
    )


def changed_since(revision: str, repository: Path) -> Changed:
    """What the commits since a revision touch, up to the one that is checked out.

    Raises
    ------
    RefusedError
        If git does not know the revision, as in a shallow clone.
    """
    if not revision or revision.startswith("-"):
        raise RefusedError(f"--since: {revision!r} is no revision; give a commit")
    if set(revision) == {"0"}:  # so GitHub names what was before a branch's first push
        return EVERYTHING
    # Both names of a file that was moved; from the common ancestor, so that a branch answers for its own commits only.
    done = subprocess.run(  # noqa: S603 - a list, and no option can hide in the revision
        ["git", "diff", "--name-only", "--no-renames", "-z", f"{revision}...HEAD"],  # noqa: S607 - the runner's git
        cwd=repository,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise RefusedError(
            f"--since: git cannot compare with {revision!r} ({done.stderr.strip()}); fetch the whole history"
            " (fetch-depth: 0), or give a commit of it"
        )
    return changed_by(path for path in done.stdout.split("\0") if path)

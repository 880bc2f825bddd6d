"""Which paths touch which services: kept equal to what the code imports and to what git tracks."""

from __future__ import annotations

import re
import subprocess
from fnmatch import fnmatch
from pathlib import Path

import grimp
import pytest

from deploy.rollout.changed import RULES, SLICES, Changed, changed_by, changed_since, rule_of
from deploy.rollout.errors import RefusedError
from deploy.rollout.services import LOCATIONS, ORDER
from pipeline.base.settings import PROJECT_ROOT

CODE = tuple(name for name in ORDER if name != "dagster-host")


@pytest.mark.parametrize(
    ("path", "services"),
    [
        ("pipeline/market_data/rules/spikes.py", ("market-data-ingestion",)),
        ("pipeline/risk/assets/portfolio_risk.py", ("python-risk-engine",)),
        ("pipeline/simulation/definitions.py", ("portfolio-simulation",)),
        ("pipeline/forecast/models/garch.py", CODE),
        ("pipeline/risk/measures/tails.py", CODE),
        ("pipeline/store/prices.py", CODE),
        ("pipeline/new_room/anything.py", CODE),
        ("serving/routes/health.py", CODE),
        ("requirements/gateway.lock", ("backend-api",)),
        ("requirements/dev.lock", ()),
        ("deploy/workspace.yaml", ("dagster-host",)),
        ("deploy/probe.py", ORDER),
        ("deploy/rollout/gates.py", ()),
        ("deploy/monitoring/rules.yaml", ()),
        ("Dockerfile", ORDER),
        ("docs/api.md", ()),
        ("tests/unit/risk/test_report.py", ()),
        ("a-new-file-at-the-top", ORDER),
    ],
)
def test_services_of_a_path(path: str, services: tuple[str, ...]) -> None:
    assert changed_by([path]).services == services


@pytest.mark.parametrize(
    ("path", "slices"),
    [
        ("pipeline/market_data/rules/spikes.py", ("market_data",)),
        ("pipeline/risk/measures/tails.py", ("risk", "simulation", "forecast", "serving")),
        ("pipeline/base/types.py", SLICES),
        ("tests/unit/forecast/test_backtest.py", ("forecast",)),
        ("tests/conftest.py", SLICES),
        ("docs/api.md", ()),
        ("requirements/dev.lock", SLICES),
    ],
)
def test_slices_of_a_path(path: str, slices: tuple[str, ...]) -> None:
    assert changed_by([path]).slices == slices


def test_several_paths_touch_what_each_of_them_does() -> None:
    found = changed_by(["deploy/workspace.yaml", "docs/api.md", "pipeline/risk/definitions.py"])
    assert found == Changed(("python-risk-engine", "dagster-host"), ("risk",))
    assert changed_by([]) == Changed((), ())


def tracked() -> list[str]:
    """What git tracks, or would."""
    listing = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    done = subprocess.run(listing, cwd=PROJECT_ROOT, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        pytest.skip("not a git checkout")
    return [path for path in done.stdout.split("\0") if path]


def test_every_tracked_path_has_a_rule() -> None:
    assert [path for path in tracked() if rule_of(path) is None] == []


def test_every_rule_fits_a_path() -> None:
    paths = tracked()
    idle = {rule.prefix for rule in RULES if not any(path.startswith(rule.prefix) for path in paths)}
    assert {prefix for prefix in idle if not prefix.startswith("tests/")} == set()


def test_services_are_touched_by_all_the_code_that_they_import() -> None:
    graph = grimp.build_graph("pipeline", "serving", "fintech")
    served = {module for module in graph.modules if module.startswith("serving")}
    for service in CODE:
        roots = served | ({f"pipeline.{LOCATIONS[service]}.definitions"} if service in LOCATIONS else set())
        needed = roots.union(*(graph.find_upstream_modules(root) for root in roots))
        paths = [module.replace(".", "/") for module in needed]
        files = [f"{path}.py" if (PROJECT_ROOT / f"{path}.py").is_file() else f"{path}/__init__.py" for path in paths]
        assert [path for path in files if service not in changed_by([path]).services] == []


def test_services_are_touched_by_all_that_their_images_are_built_from() -> None:
    """`.dockerignore` lets in only what the Dockerfile reads."""
    patterns = [line[1:] for line in (PROJECT_ROOT / ".dockerignore").read_text().splitlines() if line[:1] == "!"]
    documentation = {"README.md", "LICENSE"}  # in the wheel's metadata, where they change no behaviour
    whole = {"deploy", "requirements"}  # of which it lets in parts only
    for pattern in set(patterns) - documentation - whole:
        inside = [path for path in tracked() if fnmatch(path, pattern) or path.startswith(f"{pattern}/")]
        assert inside, pattern
        assert all(changed_by([path]).services for path in inside if path.count("/") == pattern.count("/")), pattern


@pytest.mark.parametrize("lock", sorted((PROJECT_ROOT / "requirements").glob("*.lock")), ids=lambda path: path.name)
def test_services_are_touched_by_their_locks(lock: Path) -> None:
    """The images' stages name their locks."""
    stages = (PROJECT_ROOT / "Dockerfile").read_text().split("\nFROM ")
    named = re.compile(rf"install-locks\.sh(?: [a-z-]+)* {re.escape(lock.stem)}\b")
    touched = set(changed_by([f"requirements/{lock.name}"]).services)
    installing = {words[-1] for stage in stages if named.search(stage) for words in [stage.splitlines()[0].split()]}
    assert installing & set(ORDER) <= touched
    assert touched or lock.stem in ("dev", "run")


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    git(tmp_path, "init", "--quiet", "--initial-branch=main")
    commit(tmp_path, "docs/a.md")
    return tmp_path


def git(folder: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=Test", "-c", "user.email=test@example.com", "-c", "commit.gpgsign=false"]
    done = subprocess.run(["git", *identity, *arguments], cwd=folder, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def commit(folder: Path, path: str) -> str:
    (folder / path).parent.mkdir(parents=True, exist_ok=True)
    (folder / path).write_text(path)
    git(folder, "add", path)
    git(folder, "commit", "--quiet", "-m", path)
    return git(folder, "rev-parse", "HEAD")


def test_changes_since_a_commit(repository: Path) -> None:
    first = git(repository, "rev-parse", "HEAD")
    second = commit(repository, "pipeline/market_data/rules/spïke s.py")
    commit(repository, "deploy/workspace.yaml")
    assert changed_since(first, repository).services == ("market-data-ingestion", "dagster-host")
    assert changed_since(second, repository).services == ("dagster-host",)
    assert changed_since("HEAD", repository) == Changed((), ())


def test_a_file_that_is_moved_away_touches_what_it_left(repository: Path) -> None:
    commit(repository, "pipeline/market_data/rules/spike.py")
    (repository / "docs").mkdir(exist_ok=True)
    git(repository, "mv", "pipeline/market_data/rules/spike.py", "docs/spike.md")
    git(repository, "commit", "--quiet", "-m", "moved")
    assert changed_since("HEAD~1", repository).services == ("market-data-ingestion",)


def test_what_others_did_since_is_not_ours(repository: Path) -> None:
    base = git(repository, "rev-parse", "HEAD")
    theirs = commit(repository, "Dockerfile")
    git(repository, "checkout", "--quiet", "-b", "branch", base)
    commit(repository, "deploy/workspace.yaml")
    assert changed_since(theirs, repository).services == ("dagster-host",)


def test_the_first_push_of_a_branch_touches_everything(repository: Path) -> None:
    """GitHub names the commit before it by zeros."""
    assert changed_since("0" * 40, repository) == Changed(ORDER, SLICES)


@pytest.mark.parametrize("revision", ["unknown", "1" * 40, "--output=x", ""])
def test_revisions_that_git_does_not_know(repository: Path, revision: str) -> None:
    with pytest.raises(RefusedError, match="--since"):
        changed_since(revision, repository)

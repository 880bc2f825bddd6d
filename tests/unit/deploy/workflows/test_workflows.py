"""What every workflow keeps to: pinned, with few rights, in time, and without work of its own."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy.rollout.changed import SLICES
from deploy.rollout.services import ORDER
from pipeline.base.settings import PROJECT_ROOT

FOLDER = PROJECT_ROOT / ".github"
FILES = sorted(FOLDER.glob("workflows/*.yml"))
PINNED = re.compile(r"[\w.-]+/[\w./-]+@[0-9a-f]{40}")
PIN_WITH_VERSION = re.compile(r"uses: [\w.-]+/\S+@[0-9a-f]{40} # v\d+(\.\d+)*$", re.MULTILINE)
WRITES_ALLOWED = {"security-events": "findings", "id-token": "to sign"}
"""Rights beyond reading, and what a comment beside each must say."""
NEEDS_SECRETS = {"build.yml": {"image", "digests"}, "deploy.yml": {"verify", "rollout"}}


def read(path: Path) -> dict[str, Any]:
    # `on:` is YAML 1.1's true.
    parsed = {str(key): value for key, value in yaml.safe_load(path.read_text()).items()}
    return {**parsed, "on": parsed.pop("True", None)}


WORKFLOWS = {path.name: read(path) for path in FILES}
JOBS = [(name, job, spec) for name, workflow in WORKFLOWS.items() for job, spec in workflow["jobs"].items()]
CALLING = [one for one in JOBS if "uses" in one[2]]
RUNNING = [one for one in JOBS if "uses" not in one[2]]
ACTIONS = {path.parent.name: yaml.safe_load(path.read_text()) for path in FOLDER.glob("actions/*/action.yml")}


def named(one: tuple[str, str, Any]) -> str:
    return f"{one[0]}:{one[1]}"


def steps() -> Iterator[dict[str, Any]]:
    for _, _, spec in RUNNING:
        yield from spec["steps"]
    for action in ACTIONS.values():
        yield from action["runs"]["steps"]


def runs() -> list[str]:
    return [step["run"] for step in steps() if "run" in step]


def test_there_are_workflows() -> None:
    assert {"pull-request.yml", "security.yml", "codeql.yml", "build.yml", "deploy.yml", "release.yml"} <= set(
        WORKFLOWS
    )


def test_actions_are_pinned_by_commit() -> None:
    used = [step["uses"] for step in steps() if "uses" in step] + [spec["uses"] for _, _, spec in CALLING]
    foreign = [action for action in used if not action.startswith("./")]
    assert len(foreign) > 20
    assert [action for action in foreign if not PINNED.fullmatch(action)] == []
    assert [action for action in used if action.startswith("./") and not (PROJECT_ROOT / action).exists()] == []
    texts = [path.read_text() for path in FOLDER.rglob("*.yml")]
    assert sum(len(PIN_WITH_VERSION.findall(text)) for text in texts) == len(foreign)


def test_an_action_has_one_commit_everywhere() -> None:
    """Else one place is forgotten by an update."""
    used = {step["uses"].partition("@") for step in steps() if "@" in step.get("uses", "")}
    by_action: dict[str, set[str]] = {}
    for action, _, commit in used:
        by_action.setdefault("/".join(action.split("/")[:2]), set()).add(commit)
    assert {action: commits for action, commits in by_action.items() if len(commits) > 1} == {}


@pytest.mark.parametrize("name", WORKFLOWS)
def test_a_workflow_begins_without_rights(name: str) -> None:
    assert WORKFLOWS[name]["permissions"] == {}


@pytest.mark.parametrize("one", JOBS, ids=named)
def test_a_job_has_no_right_but_to_read_unless_it_says_why(one: tuple[str, str, Any]) -> None:
    for right, level in one[2].get("permissions", {}).items():
        assert level == "read" or (level == "write" and right in WRITES_ALLOWED)


def test_each_right_to_write_says_what_for() -> None:
    written = [
        line.strip() for path in FILES for line in path.read_text().splitlines() if re.search(r": write\b", line)
    ]
    assert written
    assert [line for line in written if WRITES_ALLOWED[line.partition(":")[0]] not in line] == []


@pytest.mark.parametrize("one", RUNNING, ids=named)
def test_a_job_ends_in_time(one: tuple[str, str, Any]) -> None:
    assert 0 < one[2]["timeout-minutes"] <= 150


def test_no_workflow_runs_others_code_with_our_rights() -> None:
    for name, workflow in WORKFLOWS.items():
        triggers = workflow["on"]
        assert not {"pull_request_target", "workflow_run", "issue_comment"} & set(triggers), name


def test_no_checkout_leaves_its_token_behind() -> None:
    checkouts = [step for step in steps() if step.get("uses", "").startswith("actions/checkout@")]
    assert len(checkouts) > 5
    assert [step for step in checkouts if step["with"]["persist-credentials"] is not False] == []


def test_no_expression_becomes_code() -> None:
    """What an expression gives reaches a shell by the environment alone."""
    assert [script for script in runs() if "${{" in script] == []


@pytest.mark.parametrize("name", WORKFLOWS)
def test_scripts_stop_at_the_first_failure_of_a_pipe(name: str) -> None:
    has_scripts = any("run" in step for job in WORKFLOWS[name]["jobs"].values() for step in job.get("steps", []))
    assert not has_scripts or WORKFLOWS[name]["defaults"]["run"]["shell"] == "bash"


def test_secrets_are_in_the_jobs_that_need_them_alone() -> None:
    """And in none that scans: a scanner is code of others."""
    for name, job, spec in RUNNING:
        assert ("secrets." in str(spec)) == (job in NEEDS_SECRETS.get(name, ())), f"{name}:{job}"
    scanners = {name for name, _, spec in RUNNING if "trivy" in str(spec).lower()}
    assert scanners == {"security.yml"}


def test_no_work_is_in_the_workflows() -> None:
    """A script of more than two lines belongs where it can be tested."""
    assert [script for script in runs() if len(script.strip().splitlines()) > 2] == []


def test_every_script_and_module_that_is_called_exists() -> None:
    scripts = {match for script in runs() for match in re.findall(r"\b(?:deploy|tests)/[\w./-]+\.sh\b", script)}
    modules = {match for script in runs() for match in re.findall(r"-m (deploy\.[\w.]+)", script)}
    assert scripts
    assert modules
    assert [path for path in scripts if not (PROJECT_ROOT / path).exists()] == []
    assert [name for name in modules if not (PROJECT_ROOT / name.replace(".", "/")).exists()] == []


def test_every_target_that_is_made_exists() -> None:
    targets = set(re.findall(r"^([a-z][\w-]*):", (PROJECT_ROOT / "Makefile").read_text(), re.MULTILINE))
    literal = {match for script in runs() for match in re.findall(r"\bmake ([a-z][\w-]*)", script)}
    matrices = [spec["strategy"]["matrix"] for _, _, spec in RUNNING if "strategy" in spec]
    asked = literal | {target for matrix in matrices for target in matrix.get("target", [])}
    assert {"lint", "types", "lint-deploy", "audit", "test-slice"} <= asked
    assert asked - targets == set()


def test_every_image_is_built_and_scanned() -> None:
    matrices = {name: spec["strategy"]["matrix"] for name, _, spec in RUNNING if "image" in str(spec.get("strategy"))}
    assert set(matrices) == {"build.yml", "security.yml"}
    for matrix in matrices.values():
        assert matrix == {"image": list(ORDER)}
    targets = re.findall(r"^FROM .* AS ([\w-]+)$", (PROJECT_ROOT / "Dockerfile").read_text(), re.MULTILINE)
    assert set(ORDER) <= set(targets)


def test_the_slices_of_a_change_are_what_is_tested() -> None:
    slices = WORKFLOWS["pull-request.yml"]["jobs"]["slices"]
    assert slices["strategy"]["matrix"]["slice"] == "${{ fromJSON(needs.changes.outputs.slices) }}"
    for name in SLICES:
        assert (PROJECT_ROOT / "tests/unit" / name).is_dir()


def test_one_job_says_whether_all_passed() -> None:
    jobs = WORKFLOWS["pull-request.yml"]["jobs"]
    assert set(jobs["passed"]["needs"]) == set(jobs) - {"passed"}
    assert jobs["passed"]["if"] == "always()"


def test_the_order_of_deployment_is_left_to_the_deployer() -> None:
    for name in ("deploy.yml", "release.yml"):
        text = (FOLDER / "workflows" / name).read_text()
        assert [service for service in ORDER if f"{service}:" in text or f"- {service}" in text] == []
    scripts = [
        step["run"] for step in WORKFLOWS["deploy.yml"]["jobs"]["rollout"]["steps"] if "deploy.rollout" in str(step)
    ]
    assert [script.split()[3] for script in scripts] == ["run", "rollback"]


def test_a_rollout_is_alone_and_never_cancelled() -> None:
    rollout = WORKFLOWS["deploy.yml"]["jobs"]["rollout"]
    assert rollout["concurrency"] == {"group": "rollout-${{ inputs.environment }}", "cancel-in-progress": False}
    assert rollout["environment"] == "${{ inputs.environment }}"
    limits = [step["timeout-minutes"] for step in rollout["steps"] if "timeout-minutes" in step]
    assert sum(limits) < rollout["timeout-minutes"]  # else what restores could itself be cut off


def test_releases_are_never_cancelled() -> None:
    release = WORKFLOWS["release.yml"]
    assert release["concurrency"]["cancel-in-progress"] is False
    assert release["jobs"]["build"]["needs"] == "checks"
    assert release["jobs"]["deploy"]["needs"] == "build"


def test_dependabot_looks_after_every_kind_of_pin() -> None:
    updates = yaml.safe_load((FOLDER / "dependabot.yml").read_text())["updates"]
    folders = {
        (one["package-ecosystem"], folder)
        for one in updates
        for folder in one.get("directories", [one.get("directory")])
    }
    assert {("pip", "/"), ("docker-compose", "/deploy")} <= folders
    assert {kind for kind, _ in folders} == {"pip", "github-actions", "docker", "docker-compose", "npm"}
    for path in PROJECT_ROOT.glob("deploy/**/package-lock.json"):
        assert ("npm", f"/{path.parent.relative_to(PROJECT_ROOT)}") in folders
    for name in ACTIONS:
        assert ("github-actions", f"/.github/actions/{name}") in folders
    for path in [*PROJECT_ROOT.glob("deploy/**/*Dockerfile"), *PROJECT_ROOT.glob("tests/**/*Dockerfile")]:
        assert ("docker", f"/{path.parent.relative_to(PROJECT_ROOT)}") in folders
    assert all(one["cooldown"]["default-days"] >= 7 for one in updates)

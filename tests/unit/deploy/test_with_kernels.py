"""The entry point of images with compiled kernels: it names their processor to numba where there is such a one."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.base.settings import PROJECT_ROOT

SCRIPT = PROJECT_ROOT / "deploy/scripts/with-kernels.sh"
DOCKERFILE = (PROJECT_ROOT / "Dockerfile").read_text()
FLAGS = "abm avx avx2 bmi1 bmi2 f16c fma movbe"

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="it asks Linux for the processor, in an image of Linux")


def started(tmp_path: Path, cpuinfo: str) -> dict[str, str]:
    """What a command is given: two kernels are in the image, and the folder of numba is not there."""
    (tmp_path / "cpuinfo").write_text(cpuinfo)
    kernels = tmp_path / "kernels/models_1"
    kernels.mkdir(parents=True)
    for name in ("walk.nbi", "walk.1.nbc"):
        (kernels / name).write_text(name)
    script = SCRIPT.read_text().replace("/proc/cpuinfo", str(tmp_path / "cpuinfo"))
    (tmp_path / "script").write_text(script.replace("/opt/fintech/kernels", str(tmp_path / "kernels")))
    command = ["env", "-i", f"NUMBA_CACHE_DIR={tmp_path}/numba", "PATH=/usr/bin:/bin", "sh", tmp_path / "script", "env"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return dict(line.split("=", 1) for line in done.stdout.splitlines())


def test_where_the_processor_can_run_them_they_are_linked_to_where_numba_writes(tmp_path: Path) -> None:
    given = started(tmp_path, f"processor\t: 0\nflags\t\t: fpu {FLAGS} avx512f\nflags\t\t: other\n")
    assert (given["NUMBA_CPU_NAME"], given["NUMBA_CPU_FEATURES"]) == ("x86-64-v3", "")
    assert {path.name for path in (tmp_path / "numba/models_1").iterdir()} == {"walk.nbi", "walk.1.nbc"}
    assert (tmp_path / "numba/models_1/walk.nbi").is_symlink()
    assert not (tmp_path / "numba/models_1").is_symlink()


@pytest.mark.parametrize("missing", FLAGS.split())
def test_on_an_older_processor_numba_compiles(tmp_path: Path, missing: str) -> None:
    flags = FLAGS.replace(missing, "") if missing != "avx" else FLAGS.replace("avx ", "")
    given = started(tmp_path, f"flags\t\t: {flags}\n")
    assert "NUMBA_CPU_NAME" not in given
    assert not (tmp_path / "numba").exists()


def test_on_another_architecture_numba_compiles(tmp_path: Path) -> None:
    assert "NUMBA_CPU_NAME" not in started(tmp_path, "processor\t: 0\nFeatures\t: fp asimd\n")


def test_every_image_with_kernels_starts_by_it() -> None:
    stages = re.split(r"^FROM ", DOCKERFILE, flags=re.MULTILINE)
    with_kernels = [stage for stage in stages if "COPY --from=compiled " in stage]
    assert len(with_kernels) == 3
    assert [stage for stage in stages if 'ENTRYPOINT ["with-kernels"]' in stage] == with_kernels

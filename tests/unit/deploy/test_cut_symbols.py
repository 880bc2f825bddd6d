"""What is cut off compiled modules: all that debuggers read, and nothing that a program does."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import uvloop.loop

from pipeline.base.settings import PROJECT_ROOT

SCRIPT = PROJECT_ROOT / "deploy/scripts/cut-symbols.py"
UNSTRIPPED = Path(uvloop.loop.__file__)
"""Its wheel comes with the symbols of a debug build."""

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the modules of other systems are no ELF files")


def cut(folder: Path) -> str:
    done = subprocess.run([sys.executable, SCRIPT, folder], capture_output=True, text=True, check=True)
    return done.stdout


@pytest.fixture
def package(tmp_path: Path) -> Path:
    return Path(shutil.copytree(UNSTRIPPED.parent, tmp_path / "uvloop"))


def test_a_module_works_without_what_is_cut_off(package: Path) -> None:
    module = package / UNSTRIPPED.name
    before = module.stat().st_size
    saved = float(cut(package).split()[0]) * 1e6
    assert saved > 1e6
    assert before - module.stat().st_size == pytest.approx(saved, abs=1e5)
    program = "import uvloop, asyncio; print(uvloop.__file__, uvloop.run(asyncio.sleep(0, 'slept')))"
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=package.parent, capture_output=True, text=True, check=False
    )
    assert done.stdout.split() == [str(package / "__init__.py"), "slept"], done.stderr


def test_what_was_cut_is_not_written_again(package: Path) -> None:
    """Else a file of a lower layer would come a second time into an image."""
    cut(package)
    known = (package / UNSTRIPPED.name).stat()
    assert cut(package) == "0.0 MB of symbols cut off\n"
    found = (package / UNSTRIPPED.name).stat()
    assert (found.st_mtime_ns, found.st_size) == (known.st_mtime_ns, known.st_size)


@pytest.mark.parametrize("content", [b"", b"\x7fELF", b"INPUT(libc.so.6)\n" * 9, b"\x7fELF\x01\x01" + bytes(200)])
def test_other_files_are_left_alone(tmp_path: Path, content: bytes) -> None:
    found = tmp_path / "libthat.so.1"
    found.write_bytes(content)
    assert cut(tmp_path) == "0.0 MB of symbols cut off\n"
    assert found.read_bytes() == content

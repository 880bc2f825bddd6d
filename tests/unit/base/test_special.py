"""Special functions are scipy's, which no service imports before one is wanted."""

from __future__ import annotations

import subprocess
import sys

import pytest
import scipy.special

from pipeline.base import special


@pytest.mark.parametrize("name", special.__all__)
def test_each_is_the_function_of_scipy(name: str) -> None:
    assert getattr(special, name) is getattr(scipy.special, name)


def test_another_name_is_refused() -> None:
    with pytest.raises(AttributeError, match="add it to __all__"):
        special.__getattr__("no_function")


def test_a_service_starts_without_scipy() -> None:
    program = "import sys, serving.app; print(*(name for name in sys.modules if name.partition('.')[0] == 'scipy'))"
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert ended.stdout.split() == []

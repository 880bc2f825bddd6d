"""Workers on cores of their own, in processes of their own: a test must not settle those that run it."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from serving.cores import freely

pytestmark = pytest.mark.skipif(
    not hasattr(os, "sched_getaffinity") or len(os.sched_getaffinity(0)) < 2, reason="there is no choice of cores"
)

_PROGRAM = """
import json, os, sys, threading
from serving.cores import settle_on_core, use_all_cores
number = int(sys.argv[1])
if number:
    settle_on_core(number)
own = sorted(os.sched_getaffinity(0))
found = []
def look(free):
    if free:
        use_all_cores()
    found.append(sorted(os.sched_getaffinity(0)))
for free in (False, True):
    thread = threading.Thread(target=look, args=(free,)); thread.start(); thread.join()
print(json.dumps([own, *found]))
"""


def _found(number: int) -> list[list[int]]:
    ended = subprocess.run([sys.executable, "-c", _PROGRAM, str(number)], capture_output=True, text=True, check=True)
    found: list[list[int]] = json.loads(ended.stdout)
    return found


def test_workers_beside_each_other_keep_to_different_cores() -> None:
    every = sorted(os.sched_getaffinity(0))
    (first, first_thread, first_free), (second, second_thread, second_free) = _found(1), _found(2)
    assert len(first) == len(second) == 1
    assert first != second
    assert (first_thread, second_thread) == (first, second)
    assert first_free == second_free == every


def test_a_process_that_has_not_settled_uses_every_core() -> None:
    every = sorted(os.sched_getaffinity(0))
    assert _found(0) == [every, every, every]


_FREED = """
import json, os
from serving.cores import freely, settle_on_core
settle_on_core(1)
own = sorted(os.sched_getaffinity(0))
meanwhile = freely(lambda: sorted(os.sched_getaffinity(0)))
print(json.dumps([own, meanwhile, sorted(os.sched_getaffinity(0))]))
"""


def test_what_computes_in_a_thread_of_others_gives_it_back_as_it_was() -> None:
    ended = subprocess.run([sys.executable, "-c", _FREED], capture_output=True, text=True, check=True)
    own, meanwhile, afterwards = json.loads(ended.stdout)
    assert len(own) == 1
    assert meanwhile == sorted(os.sched_getaffinity(0))
    assert afterwards == own


def test_where_nothing_has_settled_nothing_is_changed() -> None:
    assert freely(lambda: sorted(os.sched_getaffinity(0))) == sorted(os.sched_getaffinity(0))

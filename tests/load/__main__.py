"""``make bench [ONLY=group]``: measure, keep the figures in ``.data/bench.json``, and hold them against their bars."""

from __future__ import annotations

import json
import sys
from importlib import import_module

from rich.console import Console

from pipeline.base.settings import load_settings
from tests.load.bars import bar_of, missed
from tests.load.measuring import Figures

GROUPS = ("run", "ingest", "risk", "sim", "forecast", "quality", "serve")


def main(arguments: list[str]) -> int:
    """Measure the groups named, or all; the exit code, 1 if a bar is missed."""
    console = Console()
    unknown = sorted(set(arguments) - set(GROUPS))
    if unknown:
        console.print(f"error: there is no group {unknown[0]!r}. Use ONLY= one of {', '.join(GROUPS)}.")
        return 2
    measured: dict[str, float] = {}
    for group in arguments or GROUPS:
        figures: Figures = import_module(f"tests.load.{group}").measure()
        keep(group, figures)
        named = {full_name(group, name): value for name, value in figures.items()}
        for key, value in named.items():
            console.print(line_of(key, value), highlight=False)
        measured |= named
    return 1 if missed(measured) else 0


def line_of(key: str, value: float) -> str:
    """A figure, and whether it holds its bar if it has one."""
    bar = bar_of(key)
    return f"{key:<40} {value:>12,.4g}" + (f"  {bar.verdict(value)}" if bar else "")


def full_name(group: str, name: str) -> str:
    """The key of a figure; one that names another group keeps its own name."""
    return name if "." in name else f"{group}.{name}"


def keep(group: str, figures: Figures) -> None:
    """Replace the group's figures in the file, leaving the others."""
    path = load_settings().data_dir / "bench.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    known = json.loads(path.read_text()) if path.exists() else {}
    others = {key: value for key, value in known.items() if not key.startswith(f"{group}.")}
    merged = others | {full_name(group, name): float(f"{value:.4g}") for name, value in figures.items()}
    path.write_text(json.dumps(dict(sorted(merged.items())), indent=2) + "\n")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

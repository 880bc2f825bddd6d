"""The runbook and its like: every command, setting, flag and link that they name exists."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import typer

from fintech.cli import app
from pipeline.base.flags import Flag
from pipeline.base.settings import PROJECT_ROOT, Settings, env_name
from pipeline.store.audit import AUDIT_ENTRY

PAGES = [PROJECT_ROOT / "docs" / name for name in ("RUNBOOK.md", "disaster-recovery.md", "costs.md")]
BY_PAGE = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
COMMAND = re.compile(r"(?:^|[`\s])fintech ((?:[a-z-]+ ?)+)((?: --[a-z-]+)*)")
VARIABLE = re.compile(r"\b(?:FINTECH|DATABASE|JWT|SERVICE_API|REDIS|SENTRY|DAGSTER_DATABASE)_[A-Z_]+\b")
LINK = re.compile(r"\]\(([^)]+)\)")
GROUP = typer.main.get_command(app)


def command_of(words: list[str]) -> object:
    """The command that words begin with."""
    found: object = GROUP
    for word in words:
        inner = getattr(found, "commands", {})
        if word not in inner:
            break
        found = inner[word]
    return found


@BY_PAGE
def test_commands_exist(page: Path) -> None:
    for line in page.read_text().splitlines():
        for text in re.findall(r"fintech ([a-z][^`|]*)", line):
            words = text.split()
            found = command_of(words)
            assert found is not GROUP, f"{page.name}: fintech {text}"
            known = {option for parameter in found.params for option in parameter.opts}  # type: ignore[attr-defined]
            for option in re.findall(r"(?<!\S)--[a-z-]+", text.split(";")[0].split("`")[0]):
                assert option in known, f"{page.name}: fintech {text}: {option}"


@BY_PAGE
def test_settings_exist(page: Path) -> None:
    known = {env_name(field) for field in Settings.model_fields}
    assert set(VARIABLE.findall(page.read_text())) <= known


@BY_PAGE
def test_make_targets_exist(page: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (PROJECT_ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"\bmake ([a-z]+(?:-[a-z]+)*)\b", code_of(page))) <= targets


def code_of(page: Path) -> str:
    """What stands in code, the only place of commands."""
    text = page.read_text()
    return "\n".join([*re.findall(r"```\n(.*?)```", text, re.DOTALL), *re.findall(r"`([^`\n]+)`", text)])


@BY_PAGE
def test_links_lead_somewhere(page: Path) -> None:
    for link in LINK.findall(page.read_text()):
        if link.startswith("http"):
            continue
        name, _, anchor = link.partition("#")
        target = page.parent / name if name else page
        assert target.is_file(), link
        headings = re.findall(r"^#+ (.+)$", target.read_text(), re.MULTILINE)
        anchors = {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
        assert not anchor or anchor in anchors, link


@BY_PAGE
def test_files_exist(page: Path) -> None:
    for text in re.findall(r"`((?:deploy|docs|tests|pipeline|serving|fintech)/[\w./-]+)`", page.read_text()):
        assert (PROJECT_ROOT / text).exists(), text


def test_flags_that_are_named_exist() -> None:
    named = set(re.findall(r"fintech flags (?:set|unset) (\w+)", PAGES[0].read_text()))
    assert named
    assert named <= set(Flag)


def test_the_audit_log_is_what_the_page_says() -> None:
    assert "request_id" in AUDIT_ENTRY.columns

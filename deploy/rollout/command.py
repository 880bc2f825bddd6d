"""The command line: ``python -m deploy.rollout run | rollback | status | changed``."""

from __future__ import annotations

import argparse
import json
import sys
import traceback
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict
from pathlib import Path

from deploy.render.target import RenderTarget
from deploy.rollout.changed import EVERYTHING, changed_by, changed_since
from deploy.rollout.environment import Environment, read_environment
from deploy.rollout.errors import ExitCode, RefusedError, RolloutError
from deploy.rollout.gates import Gates, Limits, Smoke
from deploy.rollout.images import read_images
from deploy.rollout.report import Report
from deploy.rollout.rollout import Rollout, choose
from deploy.rollout.services import LOCATIONS, ORDER, PARTS
from deploy.rollout.targets import Target


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> None:  # type: ignore[override]  # it does not return here either
        """Bad arguments are bad input: 3, not argparse's 2, which here means a failed rollback."""
        self.print_usage(sys.stderr)
        self.exit(ExitCode.REFUSED, f"error: {message}\n")


def main(arguments: Sequence[str]) -> int:
    """Run one command; its exit code."""
    options = build_parser().parse_args(arguments)
    environment = read_environment()
    report = Report(environment.secrets, summary=getattr(options, "summary", None))
    try:
        return int(_COMMANDS[options.command](options, environment, report))
    except RolloutError as error:  # what fails after something was changed does not come here
        sys.stderr.write(f"error: {report.hide(str(error))}\n")
        return ExitCode.REFUSED
    except Exception:  # Python's own exit code for it, 1, would claim a rollback
        sys.stderr.write(report.hide(traceback.format_exc()))
        return ExitCode.ROLLBACK_FAILED


def build_parser() -> argparse.ArgumentParser:
    """The arguments of every command."""
    parser = _Parser(prog="python -m deploy.rollout", description="Roll images out, gate them, roll back.")
    commands = parser.add_subparsers(dest="command", required=True, parser_class=_Parser)
    run = commands.add_parser("run", help="deploy images by digest, in order")
    _add_target(run)
    _add_journal(run)
    run.add_argument("--images", type=Path, help="JSON object of services and references by digest")
    run.add_argument("--image", action="append", default=[], metavar="SERVICE=REFERENCE", help="one more, or instead")
    run.add_argument("--services", type=_services, help="only these, by commas; default: all that have an image")
    run.add_argument("--version", help="what /health must give as its version")
    run.add_argument(
        "--smoke", type=_smoke, metavar="LOCATION:ASSET[,ASSET][@PARTITION]", help="a run that must succeed"
    )
    rollback = commands.add_parser("rollback", help="restore what the rollout of a journal changed")
    _add_target(rollback)
    _add_journal(rollback)
    status = commands.add_parser("status", help="print what serves, as JSON")
    _add_target(status)
    changed = commands.add_parser("changed", help="print the services and slices that a change touches")
    source = changed.add_mutually_exclusive_group(required=True)
    source.add_argument("--since", metavar="REVISION", help="by the commits since then")
    source.add_argument("--paths", nargs="+", help="by these paths")
    source.add_argument("--all", action="store_true", help="everything")
    changed.add_argument(
        "--format", choices=("json", "text", "github"), default="json", help="github: lines for $GITHUB_OUTPUT"
    )
    return parser


@contextmanager
def open_target(options: argparse.Namespace, environment: Environment) -> Iterator[Target]:
    """The platform that the options name."""
    if options.target == "compose":
        from deploy.rollout.compose import ComposeTarget  # noqa: PLC0415 - a deployment on Render needs none of it

        yield ComposeTarget(options.environment, options.compose_file, options.address)
        return
    with closing(RenderTarget(options.environment, environment, options.address, poll_seconds=options.poll)) as render:
        yield render


def _run(options: argparse.Namespace, environment: Environment, report: Report) -> int:
    if options.images is None and not options.image:
        raise RefusedError("--images: no image is given; name the JSON that the build wrote, or give --image")
    images = choose(read_images(options.images, options.image), options.services)
    if not images:
        report.say("nothing-to-deploy")
        return ExitCode.DONE
    with _rollout(options, environment, report) as rollout:
        return rollout.run(images, options.journal, options.smoke)


def _rollback(options: argparse.Namespace, environment: Environment, report: Report) -> int:
    if not options.journal.exists():
        report.say("nothing-to-restore", journal=options.journal)  # the rollout was refused before it began
        return ExitCode.DONE
    with _rollout(options, environment, report) as rollout:
        return rollout.undo(options.journal)


def _status(options: argparse.Namespace, environment: Environment, report: Report) -> int:
    with open_target(options, environment) as target:
        print(report.hide(json.dumps({part.name: target.live_image(part) for part in PARTS}, indent=2)))
    return ExitCode.DONE


def _changed(options: argparse.Namespace, _environment: Environment, _report: Report) -> int:
    if options.all:
        found = EVERYTHING
    elif options.paths:
        found = changed_by(options.paths)
    else:
        found = changed_since(options.since, Path.cwd())
    match options.format:
        case "text":
            print(" ".join(found.services))
        case "github":
            print(*(f"{name}={json.dumps(values)}" for name, values in asdict(found).items()), sep="\n")
        case _:
            print(json.dumps(asdict(found)))
    return ExitCode.DONE


_COMMANDS = {"run": _run, "rollback": _rollback, "status": _status, "changed": _changed}


@contextmanager
def _rollout(options: argparse.Namespace, environment: Environment, report: Report) -> Iterator[Rollout]:
    limits = Limits(options.deploy_seconds, options.gate_seconds, options.smoke_seconds, options.poll)
    version = getattr(options, "version", None)
    with (
        open_target(options, environment) as target,
        closing(Gates(target.addresses(), limits, version=version, token=environment.token)) as gates,
    ):
        yield Rollout(target, gates, report, limits)


def _add_target(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--target", choices=("render", "compose"), required=True)
    parser.add_argument("--environment", required=True, help="staging or production; with compose, the project's name")
    parser.add_argument("--compose-file", type=Path, default=Path("deploy/compose.yaml"))
    parser.add_argument(
        "--address",
        action=_Addresses,
        default={},
        metavar="SERVICE=URL",
        help="where a gate asks instead; also dagster=URL",
    )
    defaults = Limits()
    for name, value in (("deploy", defaults.deploy), ("gate", defaults.gate), ("smoke", defaults.smoke)):
        parser.add_argument(f"--{name}-seconds", type=float, default=value, metavar="S", help=f"default {value:g}")
    parser.add_argument("--poll", type=float, default=defaults.poll, metavar="S", help="seconds between two questions")
    parser.add_argument("--summary", type=Path, help="file to append a summary to: $GITHUB_STEP_SUMMARY")


def _add_journal(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--journal", type=Path, required=True, help="file in which the rollout's steps are kept")


class _Addresses(argparse.Action):
    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: str | Sequence[object] | None,
        option_string: str | None = None,
    ) -> None:
        name, equals, url = str(values).partition("=")
        if not equals or name not in {*ORDER, "dagster"} or not url.startswith(("http://", "https://")):
            parser.error(
                f"{option_string}: {values!r} is not SERVICE=http(s)://…; services: {', '.join(ORDER)}, dagster"
            )
        setattr(namespace, self.dest, {**getattr(namespace, self.dest), name: url})


def _services(given: str) -> list[str]:
    services = [name for name in given.replace(",", " ").split() if name]
    if unknown := [name for name in services if name not in ORDER]:
        raise argparse.ArgumentTypeError(f"there is no service {', '.join(unknown)}; choose among {', '.join(ORDER)}")
    return services


def _smoke(given: str) -> Smoke:
    location, _, rest = given.partition(":")
    assets, _, partition = rest.partition("@")
    if location not in LOCATIONS.values() or not assets:
        raise argparse.ArgumentTypeError(f"{given!r} is not LOCATION:ASSET; locations: {', '.join(LOCATIONS.values())}")
    return Smoke(location, tuple(assets.split(",")), partition or None)

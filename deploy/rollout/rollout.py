"""Deploys part after part, and restores all of them if one fails."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from deploy.rollout.errors import ExitCode, RefusedError
from deploy.rollout.gates import Gates, Limits, Smoke
from deploy.rollout.images import digest_of
from deploy.rollout.journal import Journal, Outcome, Progress, Step
from deploy.rollout.report import Report
from deploy.rollout.services import parts_of
from deploy.rollout.signals import Cancellation
from deploy.rollout.targets import Target


def plan(target: Target, images: Mapping[str, str]) -> list[Step]:
    """The parts that do not run their image yet, in the order of deployment, with what they run now.

    Parameters
    ----------
    target
        The platform.
    images
        References by digest of the services, in the order of deployment.
    """
    parts = [(part, image) for service, image in images.items() for part in parts_of(service)]
    steps = [Step(part, image, target.live_image(part)) for part, image in parts]
    return [step for step in steps if step.previous is None or digest_of(step.previous) != digest_of(step.image)]


class Rollout:
    """One rollout on one target.

    Parameters
    ----------
    target
        The platform.
    gates
        What each part must pass.
    report
        Told of every step.
    limits
        How long a deployment may take.
    """

    def __init__(self, target: Target, gates: Gates, report: Report, limits: Limits) -> None:
        self._target = target
        self._gates = gates
        self._report = report
        self._limits = limits
        self._cancellation = Cancellation(lambda name: report.say("signal-noted", signal=name, now="rolling back"))

    def run(self, images: Mapping[str, str], path: Path, smoke: Smoke | None = None) -> ExitCode:
        """Bring every part to its service's image; if one fails, restore all.

        Parameters
        ----------
        images
            References by digest, by service, in the order of deployment.
        path
            Where to keep the journal.
        smoke
            A run that must succeed once all serve.

        Raises
        ------
        RefusedError
            If nothing can begin; nothing was changed.
        """
        steps = plan(self._target, images)
        journal = Journal.begin(path, self._target.name, steps)
        self._report.say("plan", target=journal.target, parts=",".join(step.part.name for step in steps) or "none")
        with self._cancellation.watch():
            try:
                self._forward(journal, smoke)
            except Exception as error:  # whatever it is, what was changed must be restored
                self._cancellation.hold()
                return self._fail(journal, _cause(error))
            self._cancellation.hold()
            journal.end(Outcome.DONE)
        self._report.say("done", target=journal.target)
        self._report.summarise(journal, ExitCode.DONE, None)
        return ExitCode.DONE

    def undo(self, path: Path) -> ExitCode:
        """Restore what the rollout of a journal changed, be it finished or not.

        Raises
        ------
        RefusedError
            If the journal cannot be used.
        """
        journal = Journal.read(path, self._target.name)
        with self._cancellation.watch():
            self._cancellation.hold()
            code = self._restore(journal)
        code = ExitCode.DONE if code is ExitCode.ROLLED_BACK else code
        self._report.summarise(journal, ExitCode.ROLLED_BACK if code is ExitCode.DONE else code, None)
        return code

    def _forward(self, journal: Journal, smoke: Smoke | None) -> None:
        for step in list(journal):
            self._report.say("deploying", part=step.part.name, image=step.image, previous=step.previous or "nothing")
            journal.mark(step.part, Progress.DEPLOYING)
            self._replace(step, step.image, restored=False)
            journal.mark(step.part, Progress.SERVING)
            self._report.say("serving", part=step.part.name, image=step.image)
        if smoke is not None:
            self._gates.pass_smoke(smoke)
            self._report.say("smoke-run-succeeded", location=smoke.location, assets=",".join(smoke.assets))

    def _replace(self, step: Step, image: str, *, restored: bool) -> None:
        deployment = self._target.deploy(step.part, image)
        self._target.wait(step.part, deployment, time.monotonic() + self._limits.deploy)
        self._gates.pass_part(step.part, image, restored=restored)

    def _fail(self, journal: Journal, cause: str) -> ExitCode:
        self._report.say("failed", cause=cause)
        code = self._restore(journal)
        self._report.summarise(journal, code, self._report.hide(cause))
        return code

    def _restore(self, journal: Journal) -> ExitCode:
        """Put back every part that was touched, the last one first; one that cannot be does not stop the others."""
        for step in journal.touched():
            cause = self._restore_one(step)
            if cause is None:
                self._keep(partial(journal.mark, step.part, Progress.RESTORED))
                self._report.say("restored", part=step.part.name, image=step.previous)
            else:
                self._keep(partial(journal.mark, step.part, Progress.STUCK, self._report.hide(cause)))
                self._report.say("not-restored", part=step.part.name, cause=cause, wanted=step.previous or "nothing")
        stuck = [step.part.name for step in journal.touched()]
        self._keep(partial(journal.end, Outcome.ROLLBACK_FAILED if stuck else Outcome.ROLLED_BACK))
        self._tell_what_serves(journal)
        return ExitCode.ROLLBACK_FAILED if stuck else ExitCode.ROLLED_BACK

    def _keep(self, write: Callable[[], None]) -> None:
        """Write to the journal; a full disk must not stop a rollback."""
        try:
            write()
        except OSError as error:
            self._report.say("journal-not-written", cause=_cause(error))

    def _restore_one(self, step: Step) -> str | None:
        """Why the part could not be put back; None if it was."""
        if step.previous is None:
            return "nothing served before, and nothing is taken down; stop it by hand, or deploy a good image"
        self._report.say("restoring", part=step.part.name, image=step.previous)
        try:
            self._replace(step, step.previous, restored=True)
        except Exception as error:  # the other parts must still be restored
            return _cause(error)
        return None

    def _tell_what_serves(self, journal: Journal) -> None:
        for step in journal:
            try:
                image = self._target.live_image(step.part) or "nothing"
            except Exception as error:  # told, as far as it can be
                image = f"unknown ({_cause(error)})"
            self._report.say("serves", part=step.part.name, image=image, state=step.progress)


def choose(images: Mapping[str, str], services: list[str] | None) -> dict[str, str]:
    """The images of the chosen services, or all.

    Raises
    ------
    RefusedError
        If a chosen service has no image.
    """
    if services is None:
        return dict(images)
    if absent := [service for service in services if service not in images]:
        raise RefusedError(f"--services: no image is given for {', '.join(absent)}; name it with --image or --images")
    return {service: image for service, image in images.items() if service in services}


def _cause(error: Exception) -> str:
    return str(error) if type(error).__module__.startswith("deploy.") else f"{type(error).__name__}: {error}"

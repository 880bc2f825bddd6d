"""What is refused before anything changes: exit code 3, one clear message, no secret in it."""

from __future__ import annotations

import json

import pytest

from deploy.rollout.services import ORDER
from tests.integration.deploy.conftest import Deployer
from tests.integration.deploy.fake_platform import Behaviour, Fault, digest, reference
from tests.integration.deploy.fake_render import KEY, FakeRender

GOOD, BAD = 2, 3
SHA = "0" * 64


@pytest.mark.parametrize(
    ("image", "message"),
    [
        ("backend-api=docker.io/acme/backend-api:latest", "is no image by digest"),
        ("backend-api=docker.io/acme/backend-api", "is no image by digest"),
        ("backend-api=docker.io/acme/backend-api@sha256:123", "is no image by digest"),
        (f"backend-api=docker.io/acme/backend-api@sha512:{SHA}", "is no image by digest"),
        (f"backend-api=docker.io/acme/python-risk-engine@sha256:{SHA}", "give the image of backend-api"),
        (f"frontend=docker.io/acme/frontend@sha256:{SHA}", "there is no service frontend"),
        ("backend-api", "has no '='"),
    ],
)
def test_images_that_cannot_be_used(deployer: Deployer, render: FakeRender, image: str, message: str) -> None:
    done = deployer.call("run", "--image", image)
    assert (done.code, render.requests, done.journal) == (3, [], None)
    assert message in done.err
    assert len(done.err.splitlines()) == 1


@pytest.mark.parametrize(
    ("content", "message"),
    [("", "cannot be read"), ("[]", "is not an object"), ('{"backend-api": 1}', "is not an object")],
)
def test_files_of_images_that_cannot_be_used(deployer: Deployer, content: str, message: str) -> None:
    path = deployer.folder / "images.json"
    path.write_text(content)
    done = deployer.call("run", "--images", str(path))
    assert done.code == 3
    assert message in done.err


def test_a_file_of_images_is_read(deployer: Deployer, render: FakeRender) -> None:
    path = deployer.folder / "images.json"
    path.write_text(json.dumps({name: reference(name, GOOD) for name in ORDER}))
    done = deployer.call("run", "--images", str(path), "--services", "backend-api")
    assert done.code == 0, done.err
    assert render.platform.begun == [("backend-api", digest(GOOD))]


def test_a_wrong_key(deployer: Deployer, render: FakeRender) -> None:
    done = deployer.run({"backend-api": GOOD}, RENDER_API_KEY="rnd_of-someone-else")
    assert (done.code, render.platform.begun) == (3, [])
    assert "RENDER_API_KEY: Render answers 401" in done.err
    assert "of-someone-else" not in done.err


def test_no_key(deployer: Deployer, render: FakeRender) -> None:
    done = deployer.run({"backend-api": GOOD}, RENDER_API_KEY=" ")
    assert (done.code, render.requests) == (3, [])
    assert "RENDER_API_KEY: not set" in done.err


def test_an_unknown_service(deployer: Deployer, render: FakeRender) -> None:
    render.platform.environment = "production"
    done = deployer.run({"backend-api": GOOD})
    assert (done.code, render.platform.begun) == (3, [])
    assert "Render has no service market-data-ingestion-staging; create it" in done.err


def test_a_render_that_is_down(deployer: Deployer, render: FakeRender) -> None:
    render.platform.faults.append(Fault("/v1", 503, times=1000, headers={"Retry-After": "0"}))
    done = deployer.run({"backend-api": GOOD})
    assert (done.code, render.platform.begun, done.journal) == (3, [], None)
    assert "Render answers 503" in done.err


@pytest.mark.parametrize(
    "arguments",
    [
        ["--services", "frontend"],
        ["--services", "dagster-host"],
        ["--smoke", "instruments"],
        ["--address", "backend-api=localhost"],
        ["--target", "heroku"],
    ],
)
def test_bad_arguments_exit_with_three(deployer: Deployer, arguments: list[str]) -> None:
    try:
        code: object = deployer.run({"backend-api": GOOD}, *arguments).code
    except SystemExit as ended:
        code = ended.code
    assert code == 3


def test_the_journal_of_another_target(deployer: Deployer) -> None:
    assert deployer.run({"backend-api": GOOD}).code == 0
    deployer.journal.write_text(deployer.journal.read_text().replace("render:staging", "render:production"))
    done = deployer.call("rollback")
    assert done.code == 3
    assert "is of render:production, not of render:staging" in done.err


@pytest.mark.parametrize(
    "content", ["[]", "{}", '{"format": 1, "target": "render:staging", "steps": 3}', '{"format": 2}']
)
def test_a_journal_that_is_none(deployer: Deployer, content: str) -> None:
    deployer.journal.write_text(content)
    done = deployer.call("rollback")
    assert done.code == 3
    assert "--journal" in done.err


def test_no_output_holds_a_secret(deployer: Deployer, render: FakeRender) -> None:
    """Neither when all goes well, nor in errors, nor if what Render says repeats it."""
    hook = render.hook("backend-api")
    render.platform.behaviours[digest(BAD)] = Behaviour(outcome="build_failed")
    render.platform.faults.append(Fault("/deploy/", 404, times=1))
    variables = {"RENDER_DEPLOY_HOOK_BACKEND_API": hook, "ROLLOUT_TOKEN": "token-of-the-gate"}
    for number in (GOOD, GOOD, BAD):
        done = deployer.run({"backend-api": number}, **variables)
        written = done.out + done.err + done.summary + json.dumps(done.journal)
        for secret in (KEY, hook, hook.partition("=")[2], "token-of-the-gate"):
            assert secret not in written

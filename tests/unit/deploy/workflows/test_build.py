"""The workflow that builds, run by act: each image once a commit, signed, and found again by its digest.

``docker`` and ``cosign`` are stand-ins that keep a registry and signatures in files.
"""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path

import pytest

from deploy.rollout.services import ORDER
from tests.unit.deploy.workflows.acting import Checkout

SECRETS = {"DOCKER_USERNAME": "acme", "DOCKER_ACCESS_TOKEN": "dckr_pat_0123456789"}
CALLER = """
on: push
jobs:
  build:
    uses: ./.github/workflows/build.yml
    secrets:
      DOCKER_USERNAME: ${{ secrets.DOCKER_USERNAME }}
      DOCKER_ACCESS_TOKEN: ${{ secrets.DOCKER_ACCESS_TOKEN }}
  show:
    needs: build
    runs-on: ubuntu-24.04
    steps:
      - env:
          DIGESTS: ${{ needs.build.outputs.digests }}
        run: echo "shown $DIGESTS"
"""
BUILD = """
name: Build
description: Stands for docker/build-push-action
inputs: { target: { required: true }, tags: { required: true } }
outputs: { digest: { value: "${{ steps.made.outputs.digest }}" } }
runs:
  using: composite
  steps:
    - id: made
      shell: bash
      env: { TARGET: "${{ inputs.target }}", TAGS: "${{ inputs.tags }}" }
      run: |
        digest=sha256:$(printf %s "$TARGET" | sha256sum | cut -d ' ' -f 1)
        echo "$TARGET" >>FOLDER/built
        echo "$TAGS $digest" >>FOLDER/registry
        echo "digest=$digest" >>"$GITHUB_OUTPUT"
"""
DOCKER = """#!/bin/bash
case "$3" in
    inspect) grep "^$4 " "FOLDER/registry" | tail -n 1 | cut -d ' ' -f 2 | grep . ;;
    create)
        for source; do :; done
        shift 3
        while [ "$1" = --tag ]; do echo "$2 ${source#*@}" >>"FOLDER/registry"; shift 2; done
        ;;
esac
"""
COSIGN = """#!/bin/bash
for last; do :; done
case "$1" in
    sign) echo "$last" >>"FOLDER/signed" ;;
    verify) grep --quiet --line-regexp --fixed-strings "$last" "FOLDER/signed" ;;
esac
"""
REFERENCE = "docker.io/acme"


def digest_of(image: str) -> str:
    return f"sha256:{hashlib.sha256(image.encode()).hexdigest()}"


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    programs = {"docker": DOCKER, "cosign": COSIGN}
    made = Checkout.make(tmp_path, {name: text.replace("FOLDER", str(tmp_path)) for name, text in programs.items()})
    made.stand_in("build", BUILD.replace("FOLDER", str(tmp_path)))
    (made.path / ".github/workflows/calls-build.yml").write_text(CALLER)
    made.commit()
    for name in ("built", "registry", "signed"):
        (tmp_path / name).touch()
    return made


def build(checkout: Checkout) -> dict[str, str]:
    """Push the commit; the digests that come out."""
    stand_ins = {"docker/build-push-action@": checkout.folder / "actions/build"}
    with checkout.start("push", "calls-build.yml", secrets=SECRETS, actions=stand_ins) as process:
        said, _ = process.communicate(timeout=300)
    assert process.returncode == 0, said
    shown = re.search(r"shown (\{.*\})", said)
    assert shown, said
    digests: dict[str, str] = json.loads(shown[1])
    return digests


def lines(checkout: Checkout, name: str) -> list[str]:
    return (checkout.folder / name).read_text().splitlines()


def test_six_images_are_built_signed_and_tagged(checkout: Checkout) -> None:
    assert build(checkout) == {image: digest_of(image) for image in ORDER}
    assert sorted(lines(checkout, "built")) == sorted(ORDER)
    assert sorted(lines(checkout, "signed")) == sorted(f"{REFERENCE}/{image}@{digest_of(image)}" for image in ORDER)
    for image in ORDER:
        tags = {line.split()[0].rpartition(":")[2] for line in lines(checkout, "registry") if f"/{image}:" in line}
        assert "develop" in tags
        assert any(re.fullmatch("sha-[0-9a-f]{40}", tag) for tag in tags)


def test_an_image_is_built_once_a_commit(checkout: Checkout) -> None:
    """So that production gets what staging has run."""
    first = build(checkout)
    assert build(checkout) == first
    assert len(lines(checkout, "built")) == len(lines(checkout, "signed")) == len(ORDER)


def test_an_image_that_is_not_signed_is_built_again(checkout: Checkout) -> None:
    """Whoever can push to the registry cannot have their image deployed."""
    build(checkout)
    signed = [line for line in lines(checkout, "signed") if "backend-api" not in line]
    (checkout.folder / "signed").write_text("\n".join(signed) + "\n")
    build(checkout)
    assert lines(checkout, "built")[len(ORDER) :] == ["backend-api"]

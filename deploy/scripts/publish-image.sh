#!/usr/bin/env bash
# An image is built once for a commit, and found again by whoever is at that commit: a merge without a merge commit, or
# a release's tag, deploys what has run before.
#   usage: publish-image.sh find             print digest=… if the commit's image is in the registry and signed
#          publish-image.sh sign DIGEST      sign it as this workflow
#          publish-image.sh tag DIGEST       let the branch's or the release's tag mean it
#          publish-image.sh digests          print digests=… of the commit's six images, a JSON object
#          publish-image.sh verify           refuse digests, of a JSON object by image in DIGESTS, that are not signed
# Reads REPOSITORY (docker.io/NAME/IMAGE; for digests and verify docker.io/NAME), and what GitHub sets: GITHUB_REPOSITORY,
# GITHUB_REF_NAME, GITHUB_REF_TYPE, GITHUB_SHA. Only .github/workflows/ calls it.
set -euo pipefail

readonly COMMIT_TAG=sha-${GITHUB_SHA:?}
readonly SIGNER="^https://github\.com/${GITHUB_REPOSITORY:?}/\.github/workflows/build\.yml@refs/(heads/(develop|main)|tags/v[0-9.]+)$"

is_signed() { # REFERENCE
    cosign verify --certificate-oidc-issuer https://token.actions.githubusercontent.com \
        --certificate-identity-regexp "$SIGNER" "$1" >/dev/null
}

digest_in() { # REPOSITORY
    docker buildx imagetools inspect "$1:$COMMIT_TAG" --format '{{.Manifest.Digest}}'
}

find_image() {
    local digest
    digest=$(digest_in "$REPOSITORY") || return 0
    is_signed "$REPOSITORY@$digest" || return 0 # someone else's, or half published: built again
    echo "digest=$digest"
}

moving_tag() {
    case "${GITHUB_REF_TYPE:?}:${GITHUB_REF_NAME:?}" in
        branch:develop) echo develop ;;
        branch:main) echo latest ;;
        tag:v*) echo "$GITHUB_REF_NAME" ;;
        *)
            echo "error: $GITHUB_REF_TYPE $GITHUB_REF_NAME publishes no image; push develop, main or a tag v*" >&2
            return 1
            ;;
    esac
}

tag_image() { # DIGEST
    local tag
    tag=$(moving_tag)
    docker buildx imagetools create --tag "$REPOSITORY:$tag" "$REPOSITORY@$1"
}

print_digests() {
    local images image digest digests={}
    images=$(python3 -c 'from deploy.rollout.services import ORDER; print(*ORDER)')
    for image in $images; do
        digest=$(digest_in "$REPOSITORY/$image")
        digests=$(jq --compact-output --arg image "$image" --arg digest "$digest" '.[$image] = $digest' <<<"$digests")
    done
    echo "digests=$digests"
}

verify_all() {
    local references reference
    references=$(jq --exit-status --raw-output --arg to "$REPOSITORY" 'to_entries[] | "\($to)/\(.key)@\(.value)"' <<<"${DIGESTS:?}")
    for reference in $references; do
        is_signed "$reference" || {
            echo "error: $reference is not signed by build.yml of $GITHUB_REPOSITORY; deploy what that has built" >&2
            return 1
        }
        echo "signed: $reference"
    done
}

: "${REPOSITORY:?}"
case "${1:-}" in
    find) find_image ;;
    sign) cosign sign --yes "$REPOSITORY@${2:?DIGEST}" ;;
    tag) tag_image "${2:?DIGEST}" ;;
    digests) print_digests ;;
    verify) verify_all ;;
    *)
        sed -n '4,8s/^# *//p' "$0" >&2
        exit 2
        ;;
esac

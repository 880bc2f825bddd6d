#!/usr/bin/env bash
# Have the image that the Dockerfile begins with: as it is here, or from its registry, or, where none answers, a stand-in
# of Debian's packages and the Python of that version on this machine. The stand-in trusts whom this machine trusts.
#   usage: standin-base.sh [IMAGE]
# Answers 0 if the image is there, else 1 after one line that says why the container tests will be skipped.
set -euo pipefail
cd "$(dirname "$0")/../.."

readonly PULL_SECONDS=300
# What the modules of Python's own library link to.
readonly LIBRARIES=libbz2-1.0,libexpat1,libffi8,liblzma5,libncursesw6,libreadline8,libsqlite3-0,libssl3,libuuid1,zlib1g
readonly CERTIFICATES=/etc/ssl/certs/ca-certificates.crt
IMAGE=${1:-$(sed -n 's/^ARG PYTHON_IMAGE=//p' Dockerfile)}
[[ $IMAGE =~ ^python:([0-9]+\.[0-9]+)-slim-([a-z]+)$ ]] || {
    echo "the container tests will be skipped: no stand-in can be made for $IMAGE" >&2
    exit 1
}
readonly IMAGE VERSION=${BASH_REMATCH[1]} SUITE=${BASH_REMATCH[2]}

give_up() {
    echo "the container tests will be skipped: $IMAGE is not here, cannot be pulled, and $1" >&2
    exit 1
}

# A folder that holds nothing but this Python, which can be moved; Debian's own is spread over /usr.
find_python() {
    local program prefix
    for program in "$(command -v "python$VERSION" || true)" "${PYENV_ROOT:-$HOME/.pyenv}/versions/$VERSION".*/bin/python3; do
        [ -x "$program" ] || continue
        prefix=$("$program" -c 'import sys; print(sys.base_prefix)' 2>/dev/null) || continue
        [ "$prefix" = /usr ] || { echo "$prefix" && return; }
    done
    return 1
}

copy_python() { # PREFIX ROOT
    local library=lib/python$VERSION
    tar -C "$1" --exclude=__pycache__ --exclude='*.a' --exclude="$library/test" --exclude="$library/*/tests" \
        --exclude="$library/site-packages/*" --exclude="$library/config-*" \
        -cf - "bin/python$VERSION" include lib | tar -C "$2/usr/local" -xf -
    ln -s "python$VERSION" "$2/usr/local/bin/python3"
    ln -s python3 "$2/usr/local/bin/python"
    chroot "$2" ldconfig
    chroot "$2" /usr/local/bin/python3 -m ensurepip --default-pip >/dev/null 2>&1
}

trust_as_here() { # ROOT
    cp /usr/local/share/ca-certificates/*.crt "$1/usr/local/share/ca-certificates/" 2>/dev/null || true
    chroot "$1" update-ca-certificates >/dev/null 2>&1
    printf '[global]\ncert = %s\n' "$CERTIFICATES" >"$1/etc/pip.conf"
    mkdir -p "$1/etc/uv"
    echo 'system-certs = true' >"$1/etc/uv/uv.toml"
}

make_standin() { # PREFIX MIRROR
    local work root
    work=$(mktemp -d)
    # shellcheck disable=SC2064 # the folder of now
    trap "rm -rf --one-file-system '$work'" EXIT
    root=$work/root
    debootstrap --variant=minbase --include="ca-certificates,netbase,tzdata,$LIBRARIES" "$SUITE" "$root" "$2" \
        >"$work/log" 2>&1 || give_up "debootstrap fails: $(tail -n 1 "$work/log")"
    copy_python "$1" "$root" || give_up "the Python of $1 does not run on $SUITE"
    trust_as_here "$root"
    rm -rf "$root"/var/cache/apt/archives/*.deb "$root"/var/lib/apt/lists/* "$root"/usr/share/{doc,man,locale}/*
    [ ! -e /etc/apt/sources.list.d/debian.sources ] || {
        cp /etc/apt/sources.list.d/debian.sources "$root/etc/apt/sources.list.d/"
        : >"$root/etc/apt/sources.list"
    }
    tar -C "$root" -c . | docker import --change 'ENV PATH=/usr/local/bin:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin' \
        --change 'ENV LANG=C.UTF-8' --change 'CMD ["python3"]' - "$IMAGE" >/dev/null
}

! docker image inspect "$IMAGE" >/dev/null 2>&1 || exit 0
! timeout "$PULL_SECONDS" docker pull --quiet "$IMAGE" >/dev/null 2>&1 || exit 0
[ "$(id -u)" = 0 ] || give_up "only root can make a stand-in"
prefix=$(find_python) || give_up "this machine has no Python $VERSION in a folder of its own to make a stand-in of"
command -v debootstrap >/dev/null || {
    command -v apt-get >/dev/null || give_up "there is no debootstrap to make a stand-in with"
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends debootstrap >/dev/null 2>&1 ||
        give_up "debootstrap could not be installed"
}
mirror=$(awk '/^URIs:/ { print $2; exit } /^deb / { print $(NF - 2); exit }' /etc/apt/sources.list.d/debian.sources \
    /etc/apt/sources.list 2>/dev/null || true)
make_standin "$prefix" "${mirror:-http://deb.debian.org/debian}"
docker run --rm --network none "$IMAGE" python -c 'import bz2, ctypes, lzma, readline, sqlite3, ssl, uuid' || {
    docker image rm --force "$IMAGE" >/dev/null
    give_up "the Python of $prefix does not run on $SUITE"
}
echo "$IMAGE: a stand-in made of $prefix, since no registry answers"

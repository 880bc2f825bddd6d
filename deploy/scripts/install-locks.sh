#!/bin/sh
# Install locks into the image's environment, and leave nothing there that only building or testing needs.
#   usage: install-locks.sh LOCK... [--without PACKAGE...]
# Only the Dockerfile calls it, with its stage `tools` mounted on /mnt for the one step.
set -eu

# Not by PATH: the environment must stand on the image's own interpreter, not on that beside uv.
uv() { /mnt/usr/local/bin/uv "$@"; }
# Compiled here, since no container may write beside its code: Dagster is imported in 2 s instead of 8.
export UV_COMPILE_BYTECODE=1 UV_LINK_MODE=copy

locks=
while [ $# -gt 0 ] && [ "$1" != --without ]; do
    locks="$locks /mnt/locks/$1.lock"
    shift
done
[ $# -eq 0 ] || shift

[ -e "$VIRTUAL_ENV" ] || uv venv --quiet "$VIRTUAL_ENV"
# shellcheck disable=SC2086 # a list of paths without blanks
uv pip sync --quiet --require-hashes $locks
# Every lock carries the back end that builds the wheel (requirements/build.in).
uv pip uninstall --quiet hatchling editables pathspec pluggy trove-classifiers
uv pip check
[ $# -eq 0 ] || uv pip uninstall --quiet "$@"
# The packages' own tests are a fifth of numpy, pandas and scipy; plotly's scripts are for notebooks and browsers.
find "$VIRTUAL_ENV" -type d \( -name tests -o -path '*/plotly/labextension' -o -path '*/plotly/package_data' \) -prune \
    -exec rm -r {} +
find "$VIRTUAL_ENV" -type f -name '*.js.map' -delete
python /mnt/cut-symbols.py "$VIRTUAL_ENV"
# uv's own lock, which anyone could write to.
rm -f "$VIRTUAL_ENV/.lock"

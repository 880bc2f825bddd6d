#!/bin/sh
# Install locks into the image's environment, and leave nothing there that no program of the image reads.
#   usage: install-locks.sh LOCK... [--statistics] [--without PACKAGE...]
# `--statistics`: for simulations and skfolio, which need more of scipy than the functions that other slices call.
# Only the Dockerfile calls it, with its stage `tools` mounted on /mnt for the one step.
set -eu

# Not by PATH: the environment must stand on the image's own interpreter, not on that beside uv.
uv() { /mnt/usr/local/bin/uv "$@"; }
# Compiled here, since no container may write beside its code: Dagster is imported in 2 s instead of 8. Without times,
# and with sets of constants in one order, two builds write the same bytes.
# Without columns (PEP 657) either: a traceback would mark them in lines that it cannot quote.
export UV_COMPILE_BYTECODE=1 UV_LINK_MODE=copy PYC_INVALIDATION_MODE=UNCHECKED_HASH PYTHONHASHSEED=0 \
    PYTHONNODEBUGRANGES=1

locks=
while [ $# -gt 0 ] && [ "${1#--}" = "$1" ]; do
    locks="$locks /mnt/locks/$1.lock"
    shift
done
statistics=
[ "${1-}" != --statistics ] || { statistics=yes; shift; }
[ "${1-}" != --without ] || shift

[ -e "$VIRTUAL_ENV" ] || uv venv --quiet "$VIRTUAL_ENV"
# shellcheck disable=SC2086 # a list of paths without blanks
uv pip sync --quiet --require-hashes $locks
# Every lock carries the back end that builds the wheel (requirements/build.in).
uv pip uninstall --quiet hatchling editables pathspec pluggy trove-classifiers
uv pip check
[ $# -eq 0 ] || uv pip uninstall --quiet "$@"
packages=$(python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')

# What all but simulations call of scipy is its special functions and a root finder (a test holds that).
statistical='cluster integrate interpolate ndimage stats'
for part in $statistical datasets differentiate fftpack io odr signal; do
    rm -rf "$packages/scipy/$part"
done
if [ "$statistics" ]; then
    # Put back beside the rest, which a lower layer has: writing all of scipy again would add 58 MB.
    whole=$(mktemp -d)
    version=$(python -c 'from importlib.metadata import version; print(version("scipy"))')
    uv pip install --quiet --target "$whole" --no-deps --require-hashes --constraint "${locks##* }" "scipy==$version"
    for part in $statistical; do
        cp -R "$whole/scipy/$part" "$packages/scipy/$part"
    done
    rm -rf "$whole"
fi
# Nor is any file read that compilers, type checkers, debuggers, notebooks and tests want; the packages' own tests are a
# fifth of numpy, pandas and scipy. Of plotly skfolio imports the names, of Swagger the page takes three files, of
# numba's pools of threads two are of libraries that no image has, and Kubernetes's client is there twice.
find "$VIRTUAL_ENV" -type d \( -name tests -o -path '*/sqlalchemy/testing' -o -path '*/plotly/labextension' \
    -o -path '*/plotly/package_data' -o -path '*/joblib/test' -o -path '*/tornado/test' -o -path '*/numba/cuda' \
    -o -path '*/kubernetes/aio' -o -path "$VIRTUAL_ENV/share/jupyter" \) -prune -exec rm -r {} +
find "$packages" -type f \( -name '*.pyi' -o -name '*.pxd' -o -name '*.pyx' -o -name '*.h' -o -name '*.hpp' \
    -o -name '*.c' -o -name '*.cpp' -o -name '*.a' -o -name '*.map' -o -name 'swagger-ui-es-*' -o -name swagger-ui.js \
    -o -name swagger-ui-standalone-preset.js -o -name 'omppool.*.so' -o -name 'tbbpool.*.so' \
    -o -path '*/numpy/_core/_*_tests.*.so' -o -path '*/numpy/_core/_simd.*.so' \) -delete
# Of scikit-learn skfolio imports moments, models and measures. Trees and what stands on them it never asks for.
for part in cluster datasets ensemble gaussian_process impute inspection manifold mixture neural_network tree; do
    rm -rf "$packages/sklearn/$part"
done
python /mnt/share-libpq.py "$packages"
python /mnt/cut-symbols.py "$VIRTUAL_ENV"
python /mnt/keep-bytecode.py "$VIRTUAL_ENV"
find "$packages" \( -path '*/plotly/graph_objs/*/*' -o -path '*/plotly/validators/*.json' \) -type f \
    ! -name '__init__.*' -delete
# uv's own lock, which anyone could write to.
rm -f "$VIRTUAL_ENV/.lock"

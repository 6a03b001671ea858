#!/bin/sh
# Makes .venv with the locked dependencies and the project itself. Every missing prerequisite is one line.
set -eu
cd "$(dirname "$0")/.."

fail() {
    echo "error: $1" >&2
    exit 1
}

# A name may exist and not work (a version manager's placeholder), or be too old: so each is tried.
find_python() {
    for name in python3.13 python3.12 python3.11 python3; do
        if "$name" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' >/dev/null 2>&1; then
            echo "$name"
            return
        fi
    done
    fail "Python 3.11, 3.12 or 3.13 was not found: install one (Debian: apt-get install python3 python3-venv python3-dev)"
}

check_python() {
    "$1" -c 'import ensurepip, venv' >/dev/null 2>&1 ||
        fail "$1 cannot make virtual environments: install its venv module (Debian: apt-get install python3-venv)"
    "$1" -c 'import os, sysconfig; raise SystemExit(not os.path.exists(sysconfig.get_path("include") + "/Python.h"))' ||
        fail "$1 has no headers, which annoy and our C++ are compiled with: install them (Debian: apt-get install python3-dev)"
}

check_compiler() {
    for name in ${CXX:-c++ g++ clang++}; do
        if command -v "$name" >/dev/null 2>&1; then
            return
        fi
    done
    fail "no C++ compiler was found, which annoy and our C++ need: install one (Debian: apt-get install g++; macOS: xcode-select --install)"
}

if ! .venv/bin/python -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' >/dev/null 2>&1; then
    python=$(find_python)
    check_python "$python"
    check_compiler
    echo "Making .venv with $("$python" --version)"
    "$python" -m venv --clear .venv
fi
.venv/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.lock
.venv/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --editable .
touch .venv/.installed

# Sourced by the other scripts: a virtual environment in .venv, with what EXTRAS names, at the pinned versions.
# Does nothing when that is there already.

cd "$(dirname "${BASH_SOURCE[0]}")/.."
say() { printf '\033[2m%s\033[0m\n' "$*" >&2; }

find_python() {
    local name
    for name in "${PYTHON:-}" python3.13 python3.12 python3.11 python3; do
        if [ -n "$name" ] && command -v "$name" >/dev/null &&
            "$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            command -v "$name"
            return
        fi
    done
    say 'Python 3.11 or newer is needed; set PYTHON to one.'
    return 1
}

make_venv() {
    local python
    python=$(find_python) || exit 2
    say "Making .venv with $("$python" --version)"
    # Debian keeps the venv module in a package of its own.
    if ! "$python" -c 'import ensurepip' 2>/dev/null && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        apt-get update -qq && apt-get install -y -qq python3-venv >/dev/null
    fi
    rm -rf .venv
    "$python" -m venv .venv
}

setup() { # setup EXTRAS: an empty one, or like "[dev,bench]"
    local wanted stamp=.venv/installed
    wanted="$1 $(cat pyproject.toml constraints.txt | cksum)"
    if [ "$(cat "$stamp" 2>/dev/null)" = "$wanted" ]; then
        return
    fi
    [ -x .venv/bin/python ] || make_venv
    say 'Installing, once'
    PIP_CONSTRAINT=constraints.txt .venv/bin/python -m pip install --quiet --disable-pip-version-check --editable ".$1"
    printf '%s' "$wanted" >"$stamp"
}

# Sourced by the other scripts: a virtual environment in .venv, with what EXTRAS names, at the pinned versions.
# Does nothing when that is there already.

cd "$(dirname "${BASH_SOURCE[0]}")/.."
say() { if [ -t 2 ]; then printf '\033[2m%s\033[0m\n' "$*" >&2; else printf '%s\n' "$*" >&2; fi; }

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

install() { # install EXTRAS [OPTIONS of pip]
    local extras=$1
    shift
    PIP_CONSTRAINT=constraints.txt .venv/bin/python -m pip install --disable-pip-version-check "$@" --editable ".$extras"
}

setup() { # setup EXTRAS: like "[dev,bench]"
    local wanted stamp=.venv/installed
    wanted="$1 $(cat pyproject.toml constraints.txt | cksum)"
    if [ "$(cat "$stamp" 2>/dev/null)" = "$wanted" ]; then
        return
    fi
    [ -x .venv/bin/python ] || make_venv
    say 'Installing, once: that takes some minutes'
    # Its stdout is not ours: what is run next may print one line there, for programs.
    if [ -t 2 ]; then
        install "$1" >&2
    else
        install "$1" --progress-bar off | awk '/^(Collecting|Building|Installing)/ { print; fflush() }' >&2
    fi
    printf '%s' "$wanted" >"$stamp"
}

setup_servers() { # for the tests alone: those of Debian's servers that are missing, when we may; no failure otherwise
    local name missing=() policy=/usr/sbin/policy-rc.d
    for name in redis-server haproxy nginx chromium prometheus; do
        PATH="$PATH:/usr/sbin" command -v "$name" >/dev/null || missing+=("$name")
    done
    if [ ${#missing[@]} = 0 ] || [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
        return 0
    fi
    say "Installing ${missing[*]}, once"
    # The tests start their own: none is to run as a service.
    if [ -e "$policy" ]; then
        policy=
    else
        printf '#!/bin/sh\nexit 101\n' >"$policy" && chmod +x "$policy"
    fi
    if ! { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
        "${missing[@]}"; } >/dev/null 2>&1; then
        say "They cannot be installed; the tests that want them say so"
    fi
    [ -z "$policy" ] || rm -f "$policy"
}

setup_kafka() { # Java 17 and the jars of Apache Kafka in .kafka/libs, once; fails, saying what is missing, without them
    local libs=.kafka/libs stamp said missing=()
    stamp=$(cksum <scripts/kafka.pom.xml)
    has_java || missing+=(openjdk-17-jre-headless)
    [ "$(cat $libs/complete 2>/dev/null)" = "$stamp" ] || command -v mvn >/dev/null || missing+=(maven)
    if [ ${#missing[@]} != 0 ] && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        say "Installing ${missing[*]}, once"
        { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
            "${missing[@]}"; } >/dev/null 2>&1 || true
    fi
    if ! has_java; then
        say 'No Kafka: it needs Java 17 or newer (Debian: openjdk-17-jre-headless)'
        return 1
    fi
    if [ "$(cat $libs/complete 2>/dev/null)" = "$stamp" ]; then
        return
    fi
    if ! command -v mvn >/dev/null; then
        say 'No Kafka: its jars are fetched with Maven (Debian: maven)'
        return 1
    fi
    say 'Fetching the jars of Apache Kafka, once (44 MB)'
    rm -rf $libs
    # What it says is shown only when it fails: otherwise that is nothing, in colours, whatever it is asked for.
    if ! said=$(mvn -q -B --no-transfer-progress -Dstyle.color=never -f scripts/kafka.pom.xml \
        dependency:copy-dependencies -DincludeScope=runtime -DoutputDirectory="$PWD/$libs" 2>&1); then
        printf '%s\n' "$said" >&2
        say 'No Kafka: Maven could not fetch its jars'
        return 1
    fi
    printf '%s' "$stamp" >$libs/complete
}

has_java() {
    local found
    found=$(java -version 2>&1 | sed -n 's/.*version "\([0-9]*\).*/\1/p') && [ "${found:-0}" -ge 17 ]
}

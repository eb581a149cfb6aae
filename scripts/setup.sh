#!/bin/bash
# Sets up what `make` needs: Debian packages, the virtual environment .venv, the pinned Python packages, Trapgate itself.
# Where all of that was done for these files, it does nothing.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

stamp=.venv/.set-up
declare -A package_of=(
    [qemu-system-x86_64]=qemu-system-x86 # brings SeaBIOS and the option ROMs
    [as]=binutils                        # the assembler that ours is tested against
    [gdb]=gdb                            # loads our images in the tests
    [setpriv]=util-linux
)

state() { # what a finished set-up depends on
    { pwd && cat pyproject.toml requirements.lock scripts/setup.sh; } | sha256sum
}

missing_packages() {
    local command
    for command in "${!package_of[@]}"; do
        command -v "$command" > /dev/null || echo "${package_of[$command]}"
    done
}

find_python() { # the first interpreter that is new enough and can make virtual environments
    local python
    for python in ${PYTHON:-python3.11 python3.12 python3.13 python3}; do
        if "$python" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2> /dev/null; then
            command -v "$python"
            return
        fi
    done
    return 1
}

install() { # Debian packages: as root, or by telling how
    if [[ $(id -u) == 0 ]] && command -v apt-get > /dev/null; then
        echo "Installing $*"
        export DEBIAN_FRONTEND=noninteractive
        apt-get update -qq < /dev/null
        apt-get install -y -qq --no-install-recommends "$@" < /dev/null > /dev/null
    elif command -v apt-get > /dev/null; then
        printf 'Trapgate needs packages that are not installed. Install them, then call make again:\n\n' >&2
        printf '    sudo apt-get install --no-install-recommends %s\n\n' "$*" >&2
        exit 1
    else
        printf 'Trapgate needs what Debian calls %s. Install that, then call make again.\n' "$*" >&2
        exit 1
    fi
}

if [[ -f $stamp && -x .venv/bin/python && $(< "$stamp") == "$(state)" && -z $(missing_packages) ]]; then
    exit 0
fi

exec 9< . # two calls at once: the second waits, and finds everything done
flock 9
if [[ -f $stamp && -x .venv/bin/python && $(< "$stamp") == "$(state)" && -z $(missing_packages) ]]; then
    exit 0
fi

mapfile -t packages < <(missing_packages)
python=$(find_python) || packages+=(python3 python3-venv)
if ((${#packages[@]})); then
    install "${packages[@]}"
fi
python=$(find_python) || {
    echo 'Trapgate needs Python 3.11 or newer with its venv module; name one: make PYTHON=/path/to/python3 …' >&2
    exit 1
}

if [[ -e .venv && ! -O .venv ]]; then
    echo "The environment .venv belongs to $(stat -c %U .venv); set up as that user, or remove it first." >&2
    exit 1
fi
# scripts in an environment name its folder: an environment that was moved, or whose Python no longer exists, is made again
if ! .venv/bin/python -c '' 2> /dev/null || ! grep -qF "VIRTUAL_ENV=\"$PWD/.venv\"" .venv/bin/activate; then
    echo "Making the virtual environment .venv with $("$python" --version)"
    rm -rf .venv
    "$python" -m venv .venv
fi
rm -f "$stamp"
pip=(.venv/bin/python -m pip install --quiet --quiet --disable-pip-version-check --no-input --root-user-action=ignore)
echo 'Installing the packages of requirements.lock'
"${pip[@]}" --no-deps --requirement requirements.lock
"${pip[@]}" --no-deps --no-build-isolation --editable .
state > "$stamp"

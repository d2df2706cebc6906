#!/usr/bin/env bash
# Makes the virtual environment that `make` works in, from nothing:
#
#     tools/setup.sh VENV STAMP
#
# STAMP is touched last, so a run that was killed is not taken for a whole one; its half-filled
# environment is thrown away by the next run. An environment without a stamp that nobody is known to
# have been killed in (one made by hand) is kept and completed.
#
# PYTHON=...           the interpreter to use (3.11 or later); default: the first that fits
# TORCH_PIP_FLAGS=...  more arguments for the call that installs torch, e.g. an index of CPU builds
set -euo pipefail

venv=$1
stamp=$2
cd "$(dirname "$0")/.."
unfinished=$venv.unfinished
# make puts the environment first on the path, and it must not be remade with its own interpreter.
PATH=${PATH//"$PWD/$venv/bin:"/}

say() { printf 'setup: %s\n' "$*" >&2; }
die() {
    say "$*"
    exit 1
}

# One at a time; whoever waited may find the work done.
exec 9<tools/setup.sh
flock 9
if [[ -e $stamp && ! pyproject.toml -nt $stamp && ! tools/setup.sh -nt $stamp ]]; then
    exit 0
fi

updated=
install_system_packages() { # NAME...: with apt-get where we may, else say what to install
    local -a as_root=()
    if ! command -v apt-get >/dev/null; then
        die "missing: $*. Install them with this system's package manager and run make again."
    fi
    if [[ $(id -u) != 0 ]]; then
        if command -v sudo >/dev/null && sudo -n true 2>/dev/null; then
            as_root=(sudo -n)
        else
            die "missing: $*. Run: sudo apt-get install $*"
        fi
    fi
    say "installing $*"
    if [[ -z $updated ]]; then
        "${as_root[@]}" apt-get update -q </dev/null >&2
        updated=1
    fi
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
        apt-get install -q -y --no-install-recommends "$@" </dev/null >&2 ||
        die "apt-get could not install: $*"
}

recent_enough() { # INTERPRETER
    command -v "$1" >/dev/null &&
        "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null
}

find_python() {
    local candidate
    for candidate in ${PYTHON:-python3 python3.11 python3.12 python3.13}; do
        if recent_enough "$candidate"; then
            command -v "$candidate"
            return
        fi
    done
    return 1
}

missing=()
command -v g++ >/dev/null || missing+=(g++)
command -v make >/dev/null || missing+=(make)
command -v tclsh >/dev/null || missing+=(tcl)
python=$(find_python) || {
    [[ -z ${PYTHON:-} ]] || die "PYTHON=$PYTHON is not a Python 3.11 or later."
    missing+=(python3 python3-venv)
}
if ((${#missing[@]})); then
    install_system_packages "${missing[@]}"
fi
python=${python:-$(find_python)} || die "no Python 3.11 or later found; name one with PYTHON=..."

# Debian splits venv's pip into a package of its own, one for each Python.
if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
    install_system_packages \
        "$("$python" -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])')"
    "$python" -c 'import ensurepip, venv' || die "$python has no ensurepip."
fi

rm -f "$stamp"
if [[ -e $unfinished ]] || ! "$venv/bin/python" -m pip --version >/dev/null 2>&1; then
    touch "$unfinished"
    say "making $venv with $("$python" --version)"
    "$python" -m venv --clear "$venv"
fi
touch "$unfinished"

pip() { "$venv/bin/python" -m pip install --no-input --disable-pip-version-check -q "$@" </dev/null; }

# torch by itself and at its exact version: resolved among the others, pip may settle on another
# build, one with gigabytes of GPU libraries.
torch=$("$venv/bin/python" - <<'PY'
import tomllib

with open("pyproject.toml", "rb") as file:
    extras = tomllib.load(file)["project"]["optional-dependencies"]
print(next(line for line in extras["train"] if line.startswith("torch==")))
PY
)
say "installing $torch"
# shellcheck disable=SC2086  # several arguments on purpose
pip ${TORCH_PIP_FLAGS:-} "$torch"
say "installing vitgen with the extras train, rtl, board, interop and dev"
pip -e '.[train,rtl,board,interop,dev]'

rm -f "$unfinished"
touch "$stamp"
say "done"

# Sourced by the scripts beside it, after they have moved to the repository's
# root. Gives one function, which makes .venv and keeps it in step with
# pyproject.toml. Installing is skipped while pyproject.toml is unchanged.

# ensure_venv NAME REQUIREMENT: NAME is the stamp's, so that the demo's small
# installation and the tests' large one are remembered apart.
ensure_venv() {
    stamp=".venv/.installed-$1"
    if [ ! -x .venv/bin/python ]; then
        python=""
        for candidate in "${PYTHON:-}" python3.11 python3 python; do
            if [ -n "$candidate" ] && command -v "$candidate" >/dev/null 2>&1 &&
                "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
                python=$candidate
                break
            fi
        done
        if [ -z "$python" ]; then
            echo "Faregate needs Python 3.11 or newer; install it, or set PYTHON to its path." >&2
            exit 1
        fi
        echo "Making .venv with $python" >&2
        "$python" -m venv .venv || exit 1
    fi
    if [ ! -f "$stamp" ] || ! cmp -s pyproject.toml "$stamp"; then
        echo "Installing $2 into .venv" >&2
        .venv/bin/python -m pip install --quiet --disable-pip-version-check -e "$2" >&2 || exit 1
        cp pyproject.toml "$stamp"
    fi
}

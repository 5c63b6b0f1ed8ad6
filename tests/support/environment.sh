# Sourced by tests/run and examples/run: Python environments outside the tree, keyed by what they hold.
# DEEPSEEK_CACHE names another place for them.

CACHE="${DEEPSEEK_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/deepseek-operator}"
export PYTHONDONTWRITEBYTECODE=1 PIP_DISABLE_PIP_VERSION_CHECK=1

# find_python: prints the path of a Python 3.11 or newer.
find_python() {
  local name
  for name in python3.11 python3; do
    if command -v "$name" >/dev/null && "$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
      command -v "$name"
      return
    fi
  done
  printf 'Python 3.11 is needed and was not found\n' >&2
  return 1
}

# dependencies GROUP...: prints pinned requirements of pyproject.toml, one a line (what those need in turn is pinned by
# requirements.lock); "core" names the operator's own.
dependencies() {
  "$(find_python)" - "$@" <<'PY'
import sys, tomllib
project = tomllib.load(open("pyproject.toml", "rb"))["project"]
groups = {"core": project["dependencies"], **project["optional-dependencies"]}
print("\n".join(line for name in sys.argv[1:] for line in groups[name]))
PY
}

# environment NAME GROUP...: makes the virtual environment once and prints its path. Interrupted, it starts over;
# wanted by two at a time, it is made by one while the other waits. To be called in a subshell, whose end unlocks it.
environment() {
  local name="$1" python wanted path lock
  shift
  python="$(find_python)"
  wanted="$(dependencies "$@")"
  path="$CACHE/venv-$name-$(printf '%s\n%s\ncompiled' "$wanted" "$("$python" -V)" | cat - requirements.lock | sha256sum | cut -c1-12)"
  mkdir -p "$CACHE"
  exec {lock}>"$path.lock"
  flock "$lock"
  if [ ! -e "$path/complete" ]; then
    printf 'installing the Python packages for %s into %s\n' "$name" "$path" >&2
    rm -rf "$path"
    if ! "$python" -m venv "$path" 2>/dev/null; then
      apt-get update -qq >&2 && apt-get install -y -qq python3-venv >&2
      "$python" -m venv "$path"
    fi
    "$path/bin/pip" install --quiet 'uv==0.13.9' >&2
    # Compiled at once: nothing is compiled later (see above), and a trainer's imports would take 9 s instead of 4.
    printf '%s\n' "$wanted" | "$path/bin/uv" pip install --quiet --compile-bytecode --python "$path/bin/python" -c requirements.lock -r - >&2
    touch "$path/complete"
  fi
  printf '%s\n' "$path"
}

need_development_environment() { DEV="$(environment development core dev)"; }
need_runtime_environment() { TORCH="$(environment runtime runtime test)"; }

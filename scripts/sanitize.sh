#!/usr/bin/env bash
# Build the C++ ops with AddressSanitizer and UndefinedBehaviorSanitizer in a temporary folder and run their tests.
#
#   scripts/sanitize.sh [pytest arguments]
#
# PYTHON is the interpreter (default: python); it needs the packages of the extra "test", pybind11, CMake, Ninja and a
# compiler. The source tree and modules built in it do not change. Exit code 0: all tests pass without findings.
set -euo pipefail

root=$(cd "$(dirname "$0")/.." && pwd)
python=$(command -v "${PYTHON:-python}")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

cmake -S "$root" --preset asan -B "$work/build" -DPython_EXECUTABLE="$python" >"$work/configure.log" ||
  { cat "$work/configure.log"; exit 1; }
cmake --build "$work/build" --parallel >"$work/build.log" || { cat "$work/build.log"; exit 1; }

# Copy the package without any module built in the tree, and install the sanitized module into the copy.
mkdir "$work/source"
tar -C "$root" -c --exclude='*.so' --exclude=__pycache__ simplepose tests benchmarks pyproject.toml | tar -C "$work/source" -x
cmake --install "$work/build" --prefix "$work/source" >/dev/null

compiler=$(sed -n 's/^CMAKE_CXX_COMPILER:[A-Z]*=//p' "$work/build/CMakeCache.txt")
preload=
for library in libasan.so libubsan.so libstdc++.so; do
  preload+="$(realpath "$("$compiler" -print-file-name="$library")") "
done

tests=("$@")
if [ ${#tests[@]} -eq 0 ]; then
  tests=(tests/ops/test_decode_parity.py tests/ops/test_find_peaks.py tests/ops/test_match_parts.py tests/ops/test_assign_keypoints.py
    tests/ops/test_decode.py tests/ops/test_decode_process.py tests/ops/test_render_targets.py)
fi
# Leak detection is off: the interpreter does not free all its memory. The interpreter and torch are not instrumented.
cd "$work/source"
export LD_PRELOAD="$preload" PYTHONPATH="$work/source"
export ASAN_OPTIONS=detect_leaks=0:abort_on_error=1 UBSAN_OPTIONS=print_stacktrace=1:halt_on_error=1
export SIMPLEPOSE_TEST_EXAMPLES="${SIMPLEPOSE_TEST_EXAMPLES:-25}" SIMPLEPOSE_SHARED="${SIMPLEPOSE_SHARED:-$root/../shared}"
"$python" -c 'from simplepose.ops.native.module import require_native; print("sanitized:", require_native().__file__)'
# The sanitizers write to the stderr of the process. --capture=sys captures only Python's stderr, so nothing is lost.
"$python" -m pytest -q -p no:cacheprovider --capture=sys "${tests[@]}"

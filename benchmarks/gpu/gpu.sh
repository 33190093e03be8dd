#!/usr/bin/env bash
# Build with CUDA, test, sanitize and measure on a GPU machine within 8 minutes, and print one table at the end.
#
#   [OUT=folder] [PYTHON=python3] benchmarks/gpu/gpu.sh
#
# Requirements: a GPU, the CUDA toolkit, and in PYTHON torch with CUDA, NumPy, OpenCV, pybind11 and pytest. The script
# installs nothing; it builds in a copy of the tree. If a step fails, the others still run and the exit code is 1.
# gpu_speed.json (the measured rows) and gpu.log are written to OUT (default benchmarks/results).
set -uo pipefail

cd "$(dirname "$0")/../.."
root=$PWD
python=$(command -v "${PYTHON:-python3}") || { echo "gpu.sh: no ${PYTHON:-python3}" >&2; exit 1; }
out=${OUT:-$root/benchmarks/results}
budget=${BUDGET:-470}  # seconds for everything

device=$("$python" - <<'PY' 2>/dev/null
import torch
if torch.cuda.is_available():
    major, minor = torch.cuda.get_device_capability(0)
    print(f"{major}{minor} {torch.cuda.get_device_name(0)}")
PY
)
if [ -z "$device" ]; then
  echo "gpu.sh: $python has no torch that finds a CUDA device; nothing was built or measured" >&2
  exit 1
fi
architecture=${device%% *}

mkdir -p "$out"
out=$(cd "$out" && pwd)
log=$out/gpu.log
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
for toolkit in "${CUDA_HOME:-}" /usr/local/cuda /opt/cuda; do
  [ -n "$toolkit" ] && [ -d "$toolkit/bin" ] && PATH=$PATH:$toolkit/bin
done
echo "${device#* }, sm_$architecture, $("$python" -c 'import torch; print("torch", torch.__version__)')" | tee "$log"

steps=() codes=() seconds=()
# step NAME LIMIT COMMAND...: run a command for at most LIMIT seconds, within the remaining budget.
step() {
  local name=$1 limit=$2 left=$((budget - SECONDS)) start=$SECONDS
  shift 2
  printf '\n== %s\n' "$name" | tee -a "$log"
  if [ $left -lt 5 ]; then
    echo "no time left" | tee -a "$log"
    codes+=(124)
  else
    timeout -k 5 $((limit < left ? limit : left)) "$@" 2>&1 | tee -a "$log"
    codes+=("${PIPESTATUS[0]}")
  fi
  steps+=("$name") seconds+=($((SECONDS - start)))
}

build() {
  tar -C "$root" -c --exclude='*.so' --exclude=__pycache__ --exclude=./build --exclude=./.git . | tar -C "$work" -x &&
    cmake -S "$work" -B "$work/build" $(command -v ninja >/dev/null && echo -G Ninja) -DSIMPLEPOSE_CUDA=ON \
      -DCMAKE_CUDA_ARCHITECTURES="$architecture" -DPython_EXECUTABLE="$python" &&
    cmake --build "$work/build" --parallel &&
    cmake --install "$work/build" --prefix "$work"
}
export -f build
export root work architecture python

step build 120 bash -c build
cd "$work"
export PYTHONPATH=$work:$work/benchmarks PYTHONUNBUFFERED=1
step info 30 "$python" -c 'from simplepose.cli.main import main; raise SystemExit(main(["info"]))'
# Warnings of other versions of torch and NumPy are not failures here. With -v the log names a test that hangs.
step "GPU tests" 180 "$python" -m pytest -v --tb=short -m gpu -W default -p no:cacheprovider --continue-on-collection-errors \
  tests/cuda/test_render_targets_cuda.py tests/cuda/test_decode_cuda.py
measure() {  # SECTION LIMIT
  step "$1" "$2" "$python" benchmarks/gpu/gpu_speed.py --sections "$1" --out "$out/gpu_speed.json"
}
measure render 90
measure decode 90
# Without the caching allocator each tensor has its own memory, so that an access past its end is detected. Only the
# kernels of simplepose are checked.
for tool in memcheck racecheck synccheck; do
  step "$tool" 75 env PYTORCH_NO_CUDA_MEMORY_CACHING=1 compute-sanitizer --tool $tool --error-exitcode 9 \
    --kernel-regex kns=simplepose "$python" benchmarks/gpu/gpu_driver.py
done
measure training 60
measure network 90
measure compiled 150

{
  printf '\n'
  "$python" benchmarks/gpu/gpu_speed.py --table "$out/gpu_speed.json"
  printf -- '-- steps\n'
  failed=0
  for i in "${!steps[@]}"; do
    printf '%-12s exit code %3d  %4d s\n' "${steps[$i]}" "${codes[$i]}" "${seconds[$i]}"
    [ "${codes[$i]}" -eq 0 ] || failed=1
  done
  exit $failed
} 2>&1 | tee -a "$log"
exit "${PIPESTATUS[0]}"

#!/usr/bin/env bash
# Makes simplepose/weights/tiny.safetensors: data, training, half precision, judgement. A stopped run goes on if called again.
#
#   scripts/train_tiny.sh WORK      WORK: a folder for the data and the run; some hour and a half on 2 CPU cores with AVX-512 BF16
set -euo pipefail
work=${1:?expected a folder for the data and the run}
tree=$(cd "$(dirname "$0")/.." && pwd)

split() {  # NAME IMAGES SEED
  [ -f "$work/$1/annotations.json" ] && return
  rm -rf "${work:?}/$1"  # unfinished
  simplepose synth "$work/$1" --images "$2" --seed "$3" --workers 2
}
split train 32000 1
split test 500 2  # what the AP in docs/tiny.md is measured on
split tune 300 3  # the AP during training, and thresholds

# bfloat16 is half as fast again on processors that compute with it (AVX-512 BF16, AMX); others are faster without.
if [ -f "$work/run/config.json" ]; then
  simplepose train --resume "$work/run"
else
  simplepose train --preset tiny --data "$work/train" --val "$work/tune" --out "$work/run" \
    --set precision=bfloat16
fi

simplepose convert "$work/run/last.safetensors" "$tree/simplepose/weights/tiny.safetensors" --half
python "$tree/benchmarks/judge_network.py" "$tree/simplepose/weights/tiny.safetensors" --tune "$work/tune" --test "$work/test" \
  --pictures "$work/pictures" --maps "$work/maps.npz" --out "$tree/benchmarks/results/tiny.json"
cp "$work/run/curves.png" "$tree/docs/images/tiny_curves.png"

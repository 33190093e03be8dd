#!/usr/bin/env bash
# Train simplepose/weights/tiny.safetensors: synthesize data, train, convert to half precision, evaluate.
#
#   scripts/train_tiny.sh WORK
#
# WORK is a folder for the data and the run. A second call resumes an interrupted run. The script takes about 1.5 hours
# on 2 CPU cores with AVX-512 BF16.
set -euo pipefail
work=${1:?expected a folder for the data and the run}
tree=$(cd "$(dirname "$0")/.." && pwd)

split() {  # NAME IMAGES SEED
  [ -f "$work/$1/annotations.json" ] && return
  rm -rf "${work:?}/$1"  # incomplete
  simplepose synth "$work/$1" --images "$2" --seed "$3" --workers 2
}
split train 32000 1
split test 500 2  # for the AP in docs/tiny.md
split tune 300 3  # for the AP during training and the thresholds

# bfloat16 is about 1.5 times as fast on processors with bfloat16 arithmetic (AVX-512 BF16, AMX), but slower on others.
if [ -f "$work/run/config.json" ]; then
  simplepose train --resume "$work/run"
else
  simplepose train --preset tiny --data "$work/train" --val "$work/tune" --out "$work/run" \
    --set precision=bfloat16
fi

simplepose convert "$work/run/last.safetensors" "$tree/simplepose/weights/tiny.safetensors" --half --overwrite
python "$tree/benchmarks/judge_network.py" "$tree/simplepose/weights/tiny.safetensors" --tune "$work/tune" --test "$work/test" \
  --pictures "$work/pictures" --maps "$work/maps.npz" --out "$tree/benchmarks/results/tiny.json"
cp "$work/run/curves.png" "$tree/docs/images/tiny_curves.png"

#!/usr/bin/env bash
# Makes simplepose/weights/tiny.safetensors: data, two runs, half precision, judgement. A stopped run goes on if called again.
#
#   scripts/train_tiny.sh WORK      WORK: a folder for the data and the runs; about two hours on 2 CPU cores
set -euo pipefail
work=${1:?expected a folder for the data and the runs}
tree=$(cd "$(dirname "$0")/.." && pwd)

split() {  # NAME IMAGES SEED
  [ -f "$work/$1/annotations.json" ] || simplepose synth "$work/$1" --images "$2" --seed "$3" --workers 2
}
split train 8000 1
split test 500 2  # what the AP in docs/tiny.md is measured on
split tune 300 3  # the AP during training, and thresholds

run() {  # NAME SETTINGS...
  local out="$work/$1"
  shift
  if [ -f "$out/config.json" ]; then
    simplepose train --resume "$out"
  else
    simplepose train --preset tiny --data "$work/train" --val "$work/tune" --out "$out" "$@"
  fi
}
# Half the size with targets twice as wide is four times as fast and finds people; then the real thing.
run small --set model.input_size=128 sigma=2 augment.shift=12 epochs=3 compile=true
run large --init "$work/small/last.safetensors" --set epochs=4 lr=0.0025 compile=true

simplepose convert "$work/large/best.safetensors" "$tree/simplepose/weights/tiny.safetensors" --half
python "$tree/benchmarks/judge_network.py" "$tree/simplepose/weights/tiny.safetensors" --tune "$work/tune" --test "$work/test" \
  --pictures "$work/pictures" --maps "$work/maps.npz" --out "$tree/benchmarks/results/tiny.json"

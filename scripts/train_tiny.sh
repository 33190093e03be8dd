#!/usr/bin/env bash
# Makes simplepose/weights/tiny.safetensors: data, training, half precision, judgement. A stopped run goes on if called again.
#
#   scripts/train_tiny.sh WORK      WORK: a folder for the data and the runs; about an hour and a half on 2 CPU cores
set -euo pipefail
work=${1:?expected a folder for the data and the runs}
tree=$(cd "$(dirname "$0")/.." && pwd)

split() {  # NAME IMAGES SEED
  [ -f "$work/$1/annotations.json" ] || simplepose synth "$work/$1" --images "$2" --seed "$3" --workers 2
}
split train 8000 1
split test 500 2  # what the AP in docs/tiny.md is measured on
split tune 300 3  # the AP during training, and thresholds

run() {  # NAME ARGUMENTS...
  local out="$work/$1" stop=()
  shift
  if [ "$1" = --stop-step ]; then
    stop=("$1" "$2")
    shift 2
  fi
  if [ -f "$out/config.json" ]; then
    simplepose train --resume "$out" "${stop[@]}"
  else
    simplepose train --preset tiny --data "$work/train" --val "$work/tune" --out "$out" "${stop[@]}" "$@"
  fi
}
# Augmentation slows a short run more than it helps: after a first part with it, the rest goes without.
run first --stop-step 2400 --set epochs=5 lr=0.003 compile=true augment.scale=[0.75,1.25] augment.rotation=25 \
  augment.shift=24 augment.jitter=0.2
run second --init "$work/first/checkpoints/step-00002400/average.safetensors" --set compile=true
# Plain L2 at the end: as many people found, and half as many that are not there.
run third --init "$work/second/last.safetensors" --set epochs=1 lr=0.001 ema=0.99 loss.gamma=0 compile=true

simplepose convert "$work/third/last.safetensors" "$tree/simplepose/weights/tiny.safetensors" --half
python "$tree/benchmarks/judge_network.py" "$tree/simplepose/weights/tiny.safetensors" --tune "$work/tune" --test "$work/test" \
  --pictures "$work/pictures" --maps "$work/maps.npz" --out "$tree/benchmarks/results/tiny.json"

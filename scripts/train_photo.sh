#!/usr/bin/env bash
# Train simplepose/weights/photo.safetensors: split, train, convert to half precision, evaluate.
#
#   scripts/train_photo.sh WORK TRAIN TEST
#
# WORK is a folder for the run; a second call resumes an interrupted run. TRAIN and TEST are data folders with
# annotations.json and images/ (docs/photo.md says which photos the shipped weights have seen). Every 15th photo of TRAIN
# is kept for tuning. WORK/start.safetensors, if it exists, is where training starts; otherwise these are the weights of
# `photo` after stage 2. The script takes about 70 minutes on 2 idle CPU cores with AVX-512 BF16.
set -euo pipefail
work=${1:?expected a folder for the run}
train=$(realpath "${2:?expected a folder with annotations.json and images/ to train on}")
test=$(realpath "${3:?expected a folder with annotations.json and images/ for the reported AP}")
tree=$(cd "$(dirname "$0")/.." && pwd)
mkdir -p "$work"

python - "$train" "$work" <<'EOF'
import json, sys
from pathlib import Path

train, work = map(Path, sys.argv[1:])
data = json.loads((train / "annotations.json").read_text())
tuned_on = set(sorted(image["id"] for image in data["images"])[::15])
for name in ("fit", "tune"):
    folder = work / name
    folder.mkdir(exist_ok=True)
    if not (folder / "images").exists():
        (folder / "images").symlink_to(train / "images")
    chosen = {image["id"] for image in data["images"] if (image["id"] in tuned_on) == (name == "tune")}
    part = {
        **data,
        "images": [image for image in data["images"] if image["id"] in chosen],
        "annotations": [person for person in data["annotations"] if person["image_id"] in chosen],
    }
    (folder / "annotations.json").write_text(json.dumps(part))
EOF

if [ ! -f "$work/start.safetensors" ]; then
  git -C "$tree" show 6cf0fe7:simplepose/weights/photo.safetensors >"$work/start.part"
  mv "$work/start.part" "$work/start.safetensors"
fi

# Two processes of one thread are faster than one process of two. bfloat16 is about 1.5 times as fast on processors with
# bfloat16 arithmetic (AVX-512 BF16, AMX), but slower on others.
export OMP_NUM_THREADS=1
launch=(torchrun --nproc-per-node 2 -m simplepose train)
if [ -f "$work/run/config.json" ]; then
  "${launch[@]}" --resume "$work/run"
else
  "${launch[@]}" --preset photo --init "$work/start.safetensors" --data "$work/fit" --val "$work/tune" --out "$work/run" \
    --set precision=bfloat16 seed=3
fi
unset OMP_NUM_THREADS

simplepose convert "$work/run/last.safetensors" "$work/photo.safetensors" --half --overwrite
python "$tree/benchmarks/judge_network.py" "$work/photo.safetensors" --tune "$work/tune" --test "$test" \
  --sizes 512 576 --scales 0.4 0.7 1 --scales-size 640 --pictures "$work/pictures" --count 24 \
  --out "$tree/benchmarks/results/photo.json"
cp "$work/run/curves.png" "$tree/docs/images/photo_curves.png"

# The measured weights with the settings of use: thresholds of 0.1 to show people, the tuned ones to rank them.
python - "$work/photo.safetensors" "$tree/benchmarks/results/photo.json" "$tree/simplepose/weights/photo.safetensors" <<'EOF'
import json, sys
from dataclasses import replace
from pathlib import Path
from simplepose.network.checkpoint import load_checkpoint, write_checkpoint

trained, measured, target = map(Path, sys.argv[1:])
tuned = json.loads(measured.read_text())["tuned"]
use = {
    "size": int(tuned.pop("size")),
    "fit": "longer",
    "decode": {"peak_threshold": 0.1, "part_threshold": 0.1},
    "evaluation": tuned,
}
notes = {
    "encoder": "MoveNet MultiPose Lightning (Google, Apache-2.0), trained further; see NOTICE",
    "training": "COCO val2017 photos, scripts/train_photo.sh; see docs/photo.md",
}
write_checkpoint(target, replace(load_checkpoint(trained), use=use, notes=notes), half=True)
EOF

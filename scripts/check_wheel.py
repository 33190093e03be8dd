"""Check an installed simplepose: the native module decodes rendered heatmaps into the rendered people.

    python scripts/check_wheel.py

The package must be installed in the interpreter's environment; the source tree has no native module.
"""

from __future__ import annotations

import sys

import numpy as np

import simplepose as sp

GRID = [(x, y) for y in (0, 50, 100) for x in (0, 20, 40, 60, 80, 100)]
"""One position in pixels for each of the 18 keypoints, with a distance between them."""


def main() -> int:
    """Render two people, decode the maps with the native ops and compare; return the exit code."""
    people = np.full((2, sp.COCO.num_keypoints, 3), 2, np.float32)  # [P, J, 3] x, y, COCO visibility
    people[0, :, :2] = np.add(GRID, (20, 20))
    people[1, :, :2] = np.add(GRID, (300, 350))
    maps = sp.render_targets(people, size=(512, 512), backend="native")
    poses = sp.decode(maps, backend="native")[0]
    found = sorted(poses.keypoints[:, 0, 0].tolist())
    print(f"simplepose {sp.__version__} from {sp.__file__}, Python {sys.version.split()[0]}: {poses}")
    if len(poses) != 2 or not poses.visible.all() or not np.allclose(found, [20, 300], atol=0.5):
        print(f"expected the two people that were rendered, found first keypoints at x = {found}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""The appearance of synthetic people: colors of clothes, skin, hair and faces."""

from __future__ import annotations

import colorsys
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from simplepose.synth.body import Build, Surfaces
from simplepose.synth.pose import pick

Floats = NDArray[np.float32]
Color = tuple[float, float, float]
"""Blue, green, red, 0 to 255."""

SKIN: tuple[Color, ...] = (
    (178, 204, 238),
    (150, 182, 228),
    (120, 158, 210),
    (88, 122, 176),
    (62, 88, 132),
    (44, 62, 96),
)
HAIR: tuple[Color, ...] = ((24, 26, 30), (36, 48, 66), (48, 78, 118), (100, 160, 205), (42, 62, 130), (150, 152, 156))


@dataclass(frozen=True)
class Material:
    """The colors of one kind of surface."""

    base: Color
    split: float = 2.0  # local second coordinate from which on the color is ``beyond``
    beyond: Color = (0, 0, 0)
    panel: Color = (0, 0, 0)  # color of a panel in the middle of the front
    panel_width: float = 0.0  # half width of the panel in statures; 0: no panel
    panel_height: float = 2.0  # half height of the panel in the local second coordinate
    stripes: float = 0.0  # horizontal stripes per stature; 0: none
    stripe: Color = (0, 0, 0)


@dataclass(frozen=True)
class Face:
    """The texture of the skull, in the local coordinates of the unit sphere."""

    skin: Color
    hair: Color
    crown: Color  # color of the top of the head: hair or a cap
    hairline: float  # lower end of the hair at the front; above 1: bald
    nape: float  # lower end of the hair at the back
    temple: float  # front end of the hair at the sides
    beard: bool
    glasses: bool


@dataclass(frozen=True)
class Look:
    """One person's build, hair and clothes."""

    build: Build
    hair: str  # "short", "long", "tail" or "cap"
    skirt: bool
    face: Face
    materials: dict[str, Material]


def sample_look(rng: np.random.Generator) -> Look:
    """A random appearance."""
    child = rng.random() < 0.15
    build = Build(
        torso=float(rng.uniform(1.0, 1.5)),
        limbs=float(rng.uniform(1.05, 1.55)),
        head=float(rng.uniform(1.3, 1.6) if child else rng.uniform(1.0, 1.18)),
        legs=float(rng.uniform(0.82, 0.94) if child else rng.uniform(0.95, 1.04)),
        shoulders=float(rng.uniform(0.85, 0.95) if child else rng.uniform(0.94, 1.08)),
    )
    skin = _vary(SKIN[int(rng.integers(len(SKIN)))], rng)
    hair_color = _vary(HAIR[int(rng.integers(len(HAIR)))], rng)
    hair = pick(rng, {"short": 0.5, "long": 0.24, "tail": 0.12, "cap": 0.14})
    face = Face(
        skin=skin,
        hair=hair_color,
        crown=sample_cloth(rng) if hair == "cap" else hair_color,
        hairline=1.1 if hair == "short" and rng.random() < 0.12 else float(rng.uniform(0.34, 0.62)),
        nape=float(rng.uniform(-0.75, -0.35)),
        temple=float(rng.uniform(-0.1, 0.2)),
        beard=hair != "tail" and rng.random() < 0.18,
        glasses=rng.random() < 0.15,
    )
    skirt = rng.random() < 0.16
    return Look(build, hair, skirt, face, _clothes(rng, face, skirt))


def _clothes(rng: np.random.Generator, face: Face, skirt: bool) -> dict[str, Material]:
    skin, top, bottom, shoe = face.skin, sample_cloth(rng), sample_cloth(rng), sample_cloth(rng)
    if rng.random() < 0.3:  # a dress, an overall
        bottom = top
    under, sleeve = sample_cloth(rng), rng.random()
    long_sleeves, bare_legs = sleeve < 0.5, skirt or rng.random() < 0.35
    trunk = breast = Material(top)
    if rng.random() < 0.45:  # an open jacket
        trunk = breast = replace(trunk, panel=under, panel_width=float(rng.uniform(0.02, 0.045)))
    else:  # a print on the chest, a pattern all around, or both
        printed = replace(trunk, panel=sample_cloth(rng), panel_width=float(rng.uniform(0.03, 0.06)))
        breast = replace(printed, panel_height=float(rng.uniform(0.25, 0.5)))
        if rng.random() < 0.35:
            stripes = float(rng.uniform(12, 30))
            trunk, breast = (replace(m, stripes=stripes, stripe=under) for m in (trunk, breast))
    sleeves = 2.0 if long_sleeves or sleeve > 0.92 else float(rng.uniform(0.35, 0.75))
    shoulder, arm = (skin, skin) if sleeve > 0.92 else (top, top)
    trousers = float(rng.uniform(0.55, 0.9)) if bare_legs else 2.0
    lower, sock = (skin, sample_cloth(rng)) if bare_legs else (bottom, bottom)
    return {
        "skin": Material(skin),
        "ear": Material(_scale(skin, 0.92)),
        "nose": Material(_scale(skin, 1.06)),
        "hair": Material(face.hair),
        "cap": Material(face.crown),
        "head": Material(skin),  # painted by `_paint_face`
        "top": trunk,
        "breast": breast,
        "yoke": Material(shoulder),
        "shoulder": Material(shoulder),
        "upper_arm": Material(arm, sleeves, skin),
        "elbow": Material(arm if long_sleeves else skin),
        "forearm": Material(arm, 0.93, skin) if long_sleeves else Material(skin),
        "pelvis": Material(bottom, 0.62, _scale(bottom, 0.45), panel=_scale(bottom, 0.6), panel_width=0.012),
        "bottom": Material(bottom),
        "thigh": Material(bottom, trousers, skin),
        "knee": Material(lower),
        "calf": Material(lower),
        "shank": Material(lower, float(rng.uniform(0.7, 0.95)), sock),
        "shoe": Material(shoe),
        "skirt": Material(bottom),
    }


class Painter:
    """The albedo of one person's surfaces, a callable for `simplepose.synth.renderer.shade`."""

    def __init__(self, surfaces: Surfaces, materials: dict[str, Material], face: Face | None) -> None:
        rows = {name: (*m.base, *m.beyond, *m.panel, *m.stripe, m.split, m.panel_width, m.panel_height, m.stripes)
                for name, m in materials.items()}  # fmt: skip
        table = np.array([rows[name] for name in surfaces.material], np.float32)
        self._base, self._beyond, self._panel, self._stripe = (table[:, i : i + 3] for i in (0, 3, 6, 9))
        self._split, self._panel_width, self._panel_height, self._stripes = (table[:, i] for i in (12, 13, 14, 15))
        axis = surfaces.end - surfaces.start
        length = np.sqrt(np.einsum("ni,ni->n", axis, axis))
        self._wide = np.where(surfaces.cone, 1, surfaces.size[:, 0]).astype(np.float32)
        self._tall = np.where(surfaces.cone, length, surfaces.size[:, 1]).astype(np.float32)
        self._lift = surfaces.start[:, 1].astype(np.float32)
        self._head = surfaces.material.index("head") if face else -1
        self._face = face

    def __call__(self, index: NDArray[np.intp], local: Floats) -> Floats:
        """Colors ``[F, 3]`` of surfaces ``[F]`` at local positions ``[3, F]``."""
        x, y, z = local
        colors = self._base.take(index, 0)
        beyond = np.flatnonzero(y >= self._split.take(index))
        colors[beyond] = self._beyond.take(index[beyond], 0)
        if self._stripes.any():
            striped = np.flatnonzero(self._stripes.take(index) > 0)
            k = index[striped]
            height = y[striped] * self._tall[k] + self._lift[k]
            striped = striped[np.mod(height * self._stripes[k], 1) < 0.5]
            colors[striped] = self._stripe[index[striped]]
        if self._panel_width.any():
            front = np.flatnonzero((np.abs(x) * self._wide.take(index) < self._panel_width.take(index)) & (z > 0))
            front = front[np.abs(y[front]) < self._panel_height.take(index[front])]
            colors[front] = self._panel.take(index[front], 0)
        if self._face is not None:
            head = np.flatnonzero(index == self._head)
            colors[head] = _paint_face(self._face, np.abs(x[head]), y[head], z[head])
        return colors


def _paint_face(face: Face, x: Floats, y: Floats, z: Floats) -> Floats:
    """Colors of points on the skull's unit sphere; ``x`` is the distance from the middle plane."""
    colors = np.empty((len(x), 3), np.float32)
    colors[:] = face.skin
    front = z > 0
    if face.beard:
        colors[front & (y < -0.36) & (np.hypot(x / 0.3, (y + 0.5) / 0.1) > 1)] = _scale(face.hair, 1.15)
    colors[front & (np.hypot(x / 0.3, (y + 0.5) / 0.075) < 1)] = (70, 60, 150)  # mouth
    colors[front & (np.abs(x - 0.38) < 0.2) & (np.abs(y - 0.26) < 0.055)] = _scale(face.hair, 0.8)  # brows
    eye = np.hypot((x - EYE[0]) / 0.19, (y - EYE[1]) / 0.11)
    colors[front & (eye < 1)] = (225, 228, 230)
    colors[front & (np.hypot(x - EYE[0], y - EYE[1]) < 0.1)] = (30, 32, 38)
    if face.glasses:
        rim = np.abs(np.hypot((x - EYE[0]) / 0.26, (y - EYE[1]) / 0.2) - 1) < 0.22
        colors[front & rim] = (25, 25, 28)
    # Hair above the forehead, and behind the temples down to the nape.
    colors[(y > face.hairline) | ((z < face.temple) & (y > np.where(z < -0.25, face.nape, 0.12)))] = face.crown
    return colors


EYE = (0.38, 0.04)
"""Position of the eyes on the skull: distance from the middle plane, and height."""


def sample_cloth(rng: np.random.Generator) -> Color:
    """A random color of a piece of clothing."""
    hue, saturation, value = rng.random(3).tolist()
    red, green, blue = colorsys.hsv_to_rgb(hue, saturation**1.4, 0.1 + 0.87 * value)
    return (255 * blue, 255 * green, 255 * red)


def _vary(color: Color, rng: np.random.Generator) -> Color:
    bright, blue, green, red = rng.random(4).tolist()
    bright = 0.88 + 0.22 * bright
    return (
        color[0] * bright * (0.97 + 0.06 * blue),
        color[1] * bright * (0.97 + 0.06 * green),
        color[2] * bright * (0.97 + 0.06 * red),
    )


def _scale(color: Color, factor: float) -> Color:
    return (color[0] * factor, color[1] * factor, color[2] * factor)

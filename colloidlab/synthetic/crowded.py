"""Crowded and dilute scenes with exact truth, on which locating and linking are measured.

Soft discs diffuse and are sheared to and fro in a periodic box larger than the view. Each is drawn as a
radial profile of its radius, sampled 3 x 3 times per pixel, under uneven light, by a camera with shot noise,
read noise and whole grey levels.

| symbol | name | meaning |
|---|---|---|
| R_k, A_k | `radius_px`, `amplitude` | radius (px) and electrons at the centre of particle k |
| f(r/R) | `profile` | radial profile, f(0) = 1: sphere filled with dye, or bright core with a dark ring |
| I(x, y) | `illumination` | relative light |
| mu | `expected_electrons` | I (background + sum_k A_k f) |
| g, o | `GAIN_ELECTRONS`, `OFFSET` | grey level = o + (Poisson(mu) + READ_NOISE Normal(0, 1)) / g |
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
from numba import njit
from numpy.typing import NDArray
from scipy import ndimage

from colloidlab.errors import UsageError

GAIN_ELECTRONS = 16.0
"""Electrons per grey level."""
READ_NOISE = 20.0
"""Standard deviation, electrons."""
OFFSET = 5.0
REACH = 1.9
"""A profile is zero beyond so many radii."""

_PSF_PX = 1.3
_TABLE = 2048
_STIFFNESS = 0.4
"""Share of an overlap that is undone in one sub-step."""
_SETTLING = 60 * 20
_SUBSTEPS = 12
_PERIOD_FRAMES = 25


@dataclass(frozen=True)
class Scene:
    """What is filmed.

    Parameters
    ----------
    size_px : int
        Side of the square view.
    n_particles : int
        In the view, on average.
    diameter_px, spread : float
        Mean diameter, and standard deviation of the radii relative to their mean.
    profile : {"dome", "ring"}
        Dye-filled sphere, or bright core inside a dark ring as in bright field.
    amplitude, background : float
        Electrons at the centre of a particle and between particles, in full light.
    step_px, shear_px : float
        Free Brownian step per frame and axis; largest displacement per frame by the oscillating shear.
    size_ratio : float
        Large to small radius of two equally frequent species; 1 is one species.
    """

    size_px: int
    n_particles: int
    diameter_px: float
    spread: float
    profile: Literal["dome", "ring"]
    amplitude: float
    background: float
    step_px: float
    shear_px: float
    size_ratio: float = 1.0


SCENES: dict[str, Scene] = {
    "a": Scene(1024, 3600, 16.0, 0.04, "dome", 2400, 400, 0.7, 2.0),
    "a bright-field": Scene(1024, 3600, 16.0, 0.04, "ring", 1800, 1200, 0.7, 2.0),
    "a bidisperse": Scene(1024, 3600, 15.7, 0.02, "dome", 2400, 400, 0.7, 2.0, size_ratio=1.4),
    "b": Scene(512, 150, 9.0, 0.04, "dome", 1600, 400, 1.5, 3.0),
    "c": Scene(2048, 20000, 9.0, 0.05, "dome", 1600, 400, 1.3, 3.0),
}
"""a: touching particles at area fraction 0.69; b: dilute; c: many small ones."""


def film(scene: Scene, n_frames: int, *, seed: int) -> Iterator[tuple[NDArray[np.uint8], pd.DataFrame]]:
    """Images of a scene with their truth.

    Yields
    ------
    image : uint8 array, shape (size_px, size_px)
    truth : DataFrame
        As `motion` gives it.
    """
    rng = np.random.default_rng([seed, 1])
    table = profile(scene)
    for truth in motion(scene, n_frames, seed=seed):
        yield expose(expected_electrons(scene, truth, table), rng), truth


def motion(scene: Scene, n_frames: int, *, seed: int) -> Iterator[pd.DataFrame]:
    """The truth of a scene without its images.

    Yields
    ------
    DataFrame
        particle, x, y, radius_px, amplitude (electrons) of every particle whose image may reach the view.
    """
    if n_frames < 1:
        raise UsageError(f"n_frames = {n_frames} is no length of a film; give at least 1")
    rng = np.random.default_rng([seed, 0])
    pad = 4 * scene.diameter_px
    box = scene.size_px + 2 * pad
    radii = _radii(scene, round(scene.n_particles * (box / scene.size_px) ** 2), rng)
    positions = rng.uniform(0, box, (len(radii), 2))
    amplitudes = scene.amplitude * (1 + 0.08 * rng.standard_normal(len(radii)))
    still = np.zeros((1, len(radii), 2))
    for _ in range(_SETTLING):
        _advance(positions, radii, box, still, 0.0)
    for frame in range(n_frames):
        kicks = scene.step_px / math.sqrt(_SUBSTEPS) * rng.standard_normal((_SUBSTEPS, len(radii), 2))
        _advance(positions, radii, box, kicks, scene.shear_px * math.cos(2 * np.pi * frame / _PERIOD_FRAMES))
        inside = (np.abs(positions - box / 2) < scene.size_px / 2 + 2 * scene.diameter_px).all(axis=1)
        yield pd.DataFrame(
            {
                "particle": np.flatnonzero(inside),
                "x": positions[inside, 0] - pad,
                "y": positions[inside, 1] - pad,
                "radius_px": radii[inside],
                "amplitude": amplitudes[inside],
            }
        )


def profile(scene: Scene) -> NDArray[np.float64]:
    """The blurred profile f at 2048 values of r / R from 0 to `REACH`, with f(0) = 1.

    The blur is that of a particle of mean size and scales with the others.
    """
    radius = scene.diameter_px / 2
    fine = 8
    half = int(REACH * radius + 4 * _PSF_PX) * fine
    y, x = np.mgrid[-half : half + 1, -half : half + 1] / fine
    r = np.hypot(x, y) / radius
    if scene.profile == "dome":
        sharp = np.sqrt(np.clip(1 - r**2, 0, None))
    else:
        sharp = np.exp(-(r**2) / (2 * 0.42**2)) - 0.45 * np.exp(-((r - 0.98) ** 2) / (2 * 0.14**2))
    ray = ndimage.gaussian_filter(sharp, _PSF_PX * fine)[half, half:]
    table = np.interp(np.linspace(0, REACH * radius, _TABLE), np.arange(len(ray)) / fine, ray)
    return np.asarray(table / table[0])


def illumination(size_px: int) -> NDArray[np.float64]:
    """Relative light, 1 at (0.4, 0.55) of the view."""
    y, x = np.mgrid[:size_px, :size_px] / size_px
    return np.asarray(1 - 0.7 * ((x - 0.4) ** 2 + (y - 0.55) ** 2))


def expected_electrons(scene: Scene, truth: pd.DataFrame, table: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mean electrons in every pixel; `table` from `profile`."""
    image = np.full((scene.size_px, scene.size_px), float(scene.background))
    x, y, radii, amplitudes = (truth[c].to_numpy(float) for c in ("x", "y", "radius_px", "amplitude"))
    _draw(image, x, y, radii, amplitudes, table)
    return np.asarray(np.clip(image, 1, None) * illumination(scene.size_px))


def expose(electrons: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.uint8]:
    """The 8-bit image of a camera."""
    signal = rng.poisson(electrons) + READ_NOISE * rng.standard_normal(electrons.shape)
    return np.clip(np.round(signal / GAIN_ELECTRONS + OFFSET), 0, 255).astype(np.uint8)


def _radii(scene: Scene, n: int, rng: np.random.Generator) -> NDArray[np.float64]:
    radii = scene.diameter_px / 2 * (1 + scene.spread * rng.standard_normal(n))
    small = 2 / (1 + scene.size_ratio)
    return np.asarray(np.where(np.arange(n) % 2 == 0, small, small * scene.size_ratio) * radii)


@njit(cache=True, nogil=True)
def _advance(positions: np.ndarray, radii: np.ndarray, box: float, kicks: np.ndarray, shear: float) -> None:
    """One frame: overlaps relax, `kicks` (sub-step, particle, 2) and the sinusoidal shear move the particles."""
    n, substeps = len(radii), len(kicks)
    cells = int(box // (2.04 * radii.max()))
    width = box / cells
    head, following = np.empty(cells * cells, np.int64), np.empty(n, np.int64)
    forces = np.empty((n, 2))
    for step in range(substeps):
        head[:] = -1
        forces[:] = 0.0
        for i in range(n):
            cell = int(positions[i, 1] / width) % cells * cells + int(positions[i, 0] / width) % cells
            following[i] = head[cell]
            head[cell] = i
        for i in range(n):
            column, row = int(positions[i, 0] / width), int(positions[i, 1] / width)
            for dy in range(-1, 2):
                for dx in range(-1, 2):
                    j = head[(row + dy) % cells * cells + (column + dx) % cells]
                    while j >= 0:
                        if j > i:
                            x = positions[i, 0] - positions[j, 0]
                            y = positions[i, 1] - positions[j, 1]
                            x -= box * np.round(x / box)
                            y -= box * np.round(y / box)
                            distance = math.sqrt(x * x + y * y)
                            overlap = radii[i] + radii[j] - distance
                            if overlap > 0 and distance > 1e-6:
                                push = _STIFFNESS * overlap / distance
                                forces[i, 0] += push * x
                                forces[i, 1] += push * y
                                forces[j, 0] -= push * x
                                forces[j, 1] -= push * y
                        j = following[j]
        for i in range(n):
            flow = shear / substeps * math.sin(2 * math.pi * positions[i, 1] / box)
            positions[i, 0] = (positions[i, 0] + forces[i, 0] + flow + kicks[step, i, 0]) % box
            positions[i, 1] = (positions[i, 1] + forces[i, 1] + kicks[step, i, 1]) % box


@njit(cache=True, nogil=True)
def _draw(
    image: np.ndarray,
    xs: np.ndarray,
    ys: np.ndarray,
    radii: np.ndarray,
    amplitudes: np.ndarray,
    table: np.ndarray,
) -> None:
    height, width = image.shape
    last = len(table) - 1
    for p in range(len(xs)):
        half = int(REACH * radii[p]) + 2
        column, row = round(xs[p]), round(ys[p])
        scale = last / (REACH * radii[p])
        for y in range(max(0, row - half), min(height, row + half + 1)):
            for x in range(max(0, column - half), min(width, column + half + 1)):
                total = 0.0
                for down in range(-1, 2):
                    for across in range(-1, 2):
                        place = math.hypot(x + across / 3 - xs[p], y + down / 3 - ys[p]) * scale
                        k = int(place)
                        if k < last:
                            total += table[k] + (place - k) * (table[k + 1] - table[k])
                image[y, x] += amplitudes[p] * total / 9

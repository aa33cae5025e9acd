"""Small scenes of particles with exact positions, rendered by summing pixel-integrated profiles."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import erf


@dataclass(frozen=True)
class Scene:
    image: np.ndarray
    positions: np.ndarray
    widths: np.ndarray


def lattice(n: int, spacing: float, jitter: float, rng: np.random.Generator) -> np.ndarray:
    """Triangular lattice of about n x n points, each moved at random; (x, y) in px, margin of one spacing."""
    row, column = np.mgrid[:n, :n]
    points = np.column_stack([(column + 0.5 * (row % 2)).ravel(), (row * np.sqrt(3) / 2).ravel()]) * spacing
    return points + 1.5 * spacing + rng.uniform(-jitter, jitter, points.shape)


def gaussian_image(
    shape: tuple[int, int],
    positions: np.ndarray,
    widths: np.ndarray,
    amplitudes: np.ndarray,
    background: float,
) -> np.ndarray:
    """Sum of Gaussian spots, each integrated over the pixels; float, without noise."""
    image = np.full(shape, background, dtype=float)
    rows, columns = np.arange(shape[0]), np.arange(shape[1])
    for (x, y), s, a in zip(positions, widths, amplitudes, strict=True):
        image += 2 * np.pi * s**2 * a * np.outer(_share(rows, y, s), _share(columns, x, s))
    return image


def _share(pixels: np.ndarray, centre: float, width: float) -> np.ndarray:
    root = np.sqrt(2) * width
    return 0.5 * (erf((pixels + 0.5 - centre) / root) - erf((pixels - 0.5 - centre) / root))


def dome_image(
    shape: tuple[int, int],
    positions: np.ndarray,
    radii: np.ndarray,
    amplitudes: np.ndarray,
    background: float,
) -> np.ndarray:
    """Spheres filled with dye, sqrt(1 - (r/R)^2), sampled 5 x 5 per pixel; nothing like a Gaussian at the rim."""
    image = np.full(shape, background, dtype=float)
    offsets = (np.arange(5) - 2) / 5
    for (x, y), r, a in zip(positions, radii, amplitudes, strict=True):
        left, top, size = int(x - r) - 2, int(y - r) - 2, int(2 * r) + 6
        top, left = max(top, 0), max(left, 0)
        rows, columns = np.arange(top, min(top + size, shape[0])), np.arange(left, min(left + size, shape[1]))
        dy = (rows[:, None] + offsets[None, :] - y)[:, None, :, None]
        dx = (columns[:, None] + offsets[None, :] - x)[None, :, None, :]
        profile = np.sqrt(np.clip(1 - (dx**2 + dy**2) / r**2, 0, None)).mean(axis=(2, 3))
        image[np.ix_(rows, columns)] += a * profile
    return image


def expose(
    image: np.ndarray, rng: np.random.Generator, *, read: float, gain: float, dtype: str = "uint8"
) -> np.ndarray:
    """A camera: variance read^2 + gain * I, rounded to whole levels (`dtype` float keeps fractions)."""
    noisy = image + np.sqrt(read**2 + gain * np.clip(image, 0, None)) * rng.standard_normal(image.shape)
    if dtype.startswith("float"):
        return noisy.astype(dtype)
    return np.clip(np.round(noisy), 0, np.iinfo(dtype).max).astype(dtype)

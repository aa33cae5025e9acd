"""Outlines of particles in an image: edges between dark and bright, or lines around them.

The strength of an outline across a direction n = (c, s) is, for the image I smoothed by w,

    edge    w   (I_x c + I_y s)                       positive where it is brighter ahead
    line   -w^2 (I_xx c^2 + I_yy s^2 + 2 I_xy c s)    positive on a bright line across n

References
----------
Lindeberg, Int. J. Comput. Vis. 30, 117 (1998): edges and ridges at a scale. Canny, IEEE PAMI 8, 679 (1986).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np

Outline = Literal["edge", "line"]
"""What bounds a particle: an edge, or a line (the ring of a disc, the wall of a cell)."""

_MAD_TO_STD = 1.4826
_NOISE_SIGMAS = 4.0
_FAINT = 0.1
"""Outlines fainter than this fraction of the strong ones are texture."""
_STRONG_PERCENTILE = 90.0
_LEAST_BEND = 0.5
"""A line bends the image at least this much more across than it bends the opposite way along."""
_ROUNDING = 1.0 / 12.0
"""Variance of rounding to whole grey levels."""


@dataclass(frozen=True)
class OutlineImage:
    """Derivatives of an image that tell the strength of its outlines.

    Attributes
    ----------
    parts : float32 array, shape (3, height, width), grey levels
        For edges w I_x, w I_y and zero; for lines -w^2 (I_xx, I_yy, I_xy).
    width_px : float
        Width of the Gaussian.
    line : bool
        They are second derivatives.
    least : float
        Strength below which there is but noise and texture.
    """

    parts: np.ndarray
    width_px: float
    line: bool
    least: float


@dataclass(frozen=True)
class OutlinePoints:
    """Pixels on outlines: where they are, and the unit vectors across."""

    x: np.ndarray
    y: np.ndarray
    across_x: np.ndarray
    across_y: np.ndarray


def outline_image(image: np.ndarray, width_px: float, outline: Outline) -> tuple[OutlineImage, OutlinePoints]:
    """Outlines at one scale.

    Parameters
    ----------
    image : array, shape (height, width)
        Finite grey levels.
    width_px : float
        Width of the Gaussian that smooths the image.
    outline : {"edge", "line"}
        Edges are followed towards the bright side.
    """
    grey = np.asarray(image, dtype=np.float32)
    smooth = cv2.GaussianBlur(grey, (0, 0), width_px, borderType=cv2.BORDER_REFLECT)
    line = outline == "line"
    parts = _second(smooth, width_px) if line else _first(smooth, width_px)
    strength, across_x, across_y = _across(parts, line)
    row, column = np.mgrid[: grey.shape[0], : grey.shape[1]].astype(np.float32)
    ahead = cv2.remap(strength, column + across_x, row + across_y, cv2.INTER_LINEAR)
    behind = cv2.remap(strength, column - across_x, row - across_y, cv2.INTER_LINEAR)
    crest = (strength > ahead) & (strength >= behind)
    if line:
        # On a spot the image bends down both ways, which is no line; on a saddle it bends up along.
        crest &= np.abs(parts[0] + parts[1] - strength) < _LEAST_BEND * strength
    share = np.sqrt(3 / (16 * np.pi)) if line else 1 / np.sqrt(8 * np.pi)
    noise = _NOISE_SIGMAS * pixel_noise(grey) * share / width_px
    strong = strength[crest & (strength > noise)]
    faint = _FAINT * float(np.percentile(strong, _STRONG_PERCENTILE)) if len(strong) else 0.0
    least = max(noise, faint)
    y, x = np.nonzero(crest & (strength > least))
    points = OutlinePoints(x.astype(float), y.astype(float), across_x[y, x], across_y[y, x])
    return OutlineImage(parts, width_px, line, least), points


def pixel_noise(image: np.ndarray) -> float:
    """Standard deviation of a pixel's noise, grey levels, from differences that no smooth image has.

    References
    ----------
    Immerkaer, Comput. Vis. Image Underst. 64, 300 (1996).
    """
    kernel = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], dtype=np.float32) / 6.0
    noise = _MAD_TO_STD * float(np.median(np.abs(cv2.filter2D(image, cv2.CV_32F, kernel))))
    # Images of a range below one have no whole grey levels: a part in 256 of the range stands for them.
    step = min(1.0, max(float(np.ptp(image)), 1e-30) / 256.0)
    return max(noise, step * np.sqrt(_ROUNDING))


def _first(smooth: np.ndarray, width_px: float) -> np.ndarray:
    x = cv2.Sobel(smooth, cv2.CV_32F, 1, 0, scale=width_px / 8, borderType=cv2.BORDER_REFLECT)
    y = cv2.Sobel(smooth, cv2.CV_32F, 0, 1, scale=width_px / 8, borderType=cv2.BORDER_REFLECT)
    return np.stack([x, y, np.zeros_like(x)])


def _second(smooth: np.ndarray, width_px: float) -> np.ndarray:
    xx = np.array([[1, -2, 1]], dtype=np.float32)
    xy = 0.25 * np.array([[1, 0, -1], [0, 0, 0], [-1, 0, 1]], dtype=np.float32)
    both = [
        cv2.filter2D(smooth, cv2.CV_32F, kernel, borderType=cv2.BORDER_REFLECT) for kernel in (xx, xx.T, xy)
    ]
    return np.asarray(np.float32(-(width_px**2)) * np.stack(both))


def _across(parts: np.ndarray, line: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Largest strength over all directions, and that direction."""
    if not line:
        strength = np.hypot(parts[0], parts[1])
        scale = 1 / np.maximum(strength, np.float32(1e-30))
        return strength, parts[0] * scale, parts[1] * scale
    mean, half = 0.5 * (parts[0] + parts[1]), 0.5 * (parts[0] - parts[1])
    angle = 0.5 * np.arctan2(parts[2], half)
    return mean + np.hypot(half, parts[2]), np.cos(angle), np.sin(angle)

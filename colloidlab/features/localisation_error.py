"""How far a centroid is from the particle: noise carried through the centroid, and light of neighbours.

The centroid of trackpy is x = sum w(p) I'(p) / m with w the distance to the centre inside the disc, I' the
band-passed image and m the mass. The band-pass is linear, so the noise of each raw pixel reaches x by the
weight w' = w * (G - B), with G its Gaussian and B its box:

    var(x) = sum_p w'(p)^2 V(p) / m^2

A neighbour whose light falls into the disc pulls x by a systematic amount. It is computed for Gaussian
images of the measured size and mass, and its magnitude is added in quadrature.

References
----------
Savin and Doyle, Biophys. J. 88, 623 (2005), for the noise; the pull of neighbours is new here.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy import ndimage
from scipy.spatial import cKDTree

_TABLE = 64
_FAR = 2.5
"""Neighbours are asked up to so many mask radii away."""
_NOISE_SIZE = 1.0
"""Gaussian of trackpy's band-pass, px."""


def calibrate_sigma(
    image: np.ndarray, features: pd.DataFrame, diameter_px: int, variance: np.ndarray
) -> np.ndarray:
    """Standard deviation of the error of centroids, in x and y.

    Parameters
    ----------
    image : array, shape (height, width)
        Bright particles, as `find_centroids` had it.
    features : DataFrame
        Columns x, y, mass, size of `find_centroids`.
    diameter_px : int
        As given to `find_centroids`.
    variance : float array, shape (height, width), grey levels squared
        Noise of every pixel, from `noise_model`.

    Returns
    -------
    float array, shape (n, 2), px

    Notes
    -----
    Limits: (1) the disc that cuts the particle and the threshold of the band-pass add bias that is not
    counted, a few hundredths of a pixel for discs that are too small; (2) noise that is correlated over
    distances like the particle's size (strong compression) is counted only in part; (3) the pull of
    neighbours is that of Gaussian images; rings pull differently.
    """
    if len(features) == 0:
        return np.empty((0, 2))
    mass = np.maximum(features["mass"].to_numpy(float), 1e-300)
    noise = _carried_noise(variance, features[["x", "y"]].to_numpy(float), diameter_px) / mass[:, None] ** 2
    return np.asarray(np.sqrt(noise + _pull(features, diameter_px) ** 2))


def _carried_noise(variance: np.ndarray, positions: np.ndarray, diameter_px: int) -> np.ndarray:
    """Sum of w'^2 V around each position, for x and y; shape (n, 2)."""
    weight = _noise_weight(diameter_px)
    half = weight.shape[0] // 2
    padded = np.pad(variance, half, mode="edge")
    height, width = variance.shape
    column = np.clip(np.round(positions[:, 0]).astype(int), 0, width - 1)
    row = np.clip(np.round(positions[:, 1]).astype(int), 0, height - 1)
    windows = np.lib.stride_tricks.sliding_window_view(padded, weight.shape)
    around = windows[row, column]
    along_x = np.einsum("nij,ij->n", around, weight**2)
    along_y = np.einsum("nij,ij->n", around, weight.T**2)
    return np.column_stack([along_x, along_y])


def _noise_weight(diameter_px: int) -> np.ndarray:
    """w' for x: distance in x inside the disc, seen through trackpy's band-pass."""
    radius = diameter_px // 2
    half = radius + max(radius + 1, 4)
    y, x = np.mgrid[-half : half + 1, -half : half + 1].astype(float)
    weight = np.where(x**2 + y**2 <= radius**2, x, 0.0)
    smooth = ndimage.gaussian_filter(weight, _NOISE_SIZE, mode="constant")
    return np.asarray(smooth - ndimage.uniform_filter(weight, diameter_px, mode="constant"))


def _pull(features: pd.DataFrame, diameter_px: int) -> np.ndarray:
    """Displacement of each centroid by the light of its neighbours, shape (n, 2), px."""
    positions = features[["x", "y"]].to_numpy(float)
    mass = np.maximum(features["mass"].to_numpy(float), 1e-300)
    # Radius of gyration of a Gaussian in the plane is sqrt(2) standard deviations.
    width = max(float(features["size"].median()) / np.sqrt(2.0), 0.5)
    pairs = cKDTree(positions).query_pairs(_FAR * (diameter_px // 2 + 1), output_type="ndarray")
    pull = np.zeros_like(positions)
    if len(pairs) == 0:
        return pull
    distances, moments = _moment_table(diameter_px, width)
    for to, by in (pairs.T, pairs.T[::-1]):
        apart = positions[by] - positions[to]
        distance = np.maximum(np.hypot(apart[:, 0], apart[:, 1]), 1e-9)
        size = np.interp(distance, distances, moments) * mass[by] / mass[to]
        np.add.at(pull, to, size[:, None] * apart / distance[:, None])
    return np.clip(pull, -0.5 * diameter_px, 0.5 * diameter_px)


def _moment_table(diameter_px: int, width: float) -> tuple[np.ndarray, np.ndarray]:
    """First moment in the disc at the origin of a Gaussian of unit light, against its distance."""
    radius = diameter_px // 2
    y, x = np.mgrid[-radius : radius + 1, -radius : radius + 1].astype(float)
    inside = x**2 + y**2 <= radius**2
    x, y = x[inside], y[inside]
    distances = np.linspace(0.0, _FAR * (radius + 1), _TABLE)
    light = np.exp(-0.5 * ((x - distances[:, None]) ** 2 + y**2) / width**2) / (2 * np.pi * width**2)
    return distances, (light * x).sum(axis=1)

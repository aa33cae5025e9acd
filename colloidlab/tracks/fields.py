"""Fields of displacement between two frames, fitted to matched particles: drift, affine motion, smooth flow.

Wrong matches and unusual particles have little weight (Tukey's biweight). The flow is the affine motion plus
corrections on the nodes of a grid, shrunk by what their own noise would make of them (James-Stein): where
there is no flow, nothing is left of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numba import njit

from colloidlab.tracks.assignment import Floats, Integers

Kind = Literal["none", "drift", "affine", "flow"]
KINDS: tuple[Kind, ...] = ("none", "drift", "affine", "flow")
"""From the simplest on."""

LEAST_MATCHES: dict[Kind, int] = {"none": 0, "drift": 5, "affine": 12, "flow": 100}
"""Fewer fit the next simpler kind."""

_PER_NODE = 16
_MOST_NODES = 24
"""Along an axis."""
_ENOUGH = 4000
"""Matches for a drift or an affine motion: more of them know it better than any prediction needs."""
_ROUNDS = 6
_TUKEY = 4.7
"""In standard deviations: 95 % efficiency for a normal distribution."""


@dataclass(frozen=True)
class Box:
    """The rectangle or cuboid that holds all positions."""

    low: Floats
    extent: Floats

    @property
    def n_axes(self) -> int:
        return len(self.low)


def n_nodes(kind: Kind, box: Box, n_particles: float) -> tuple[int, ...]:
    """Nodes along each axis: 1 for a constant, 2 for what is linear, more for a flow."""
    if kind in ("none", "drift"):
        return (1,) * box.n_axes
    if kind == "affine":
        return (2,) * box.n_axes
    edge = float(np.prod(box.extent) * _PER_NODE / max(n_particles, 1.0)) ** (1 / box.n_axes)
    wanted = (box.extent / max(edge, 1e-12)).astype(int) + 1
    return tuple(int(n) for n in np.clip(wanted, 2, _MOST_NODES))


def fit(kind: Kind, start: Floats, moved: Floats, box: Box, shape: tuple[int, ...]) -> Floats:
    """Displacement on the nodes of a grid over the box, shape (*shape, d).

    Parameters
    ----------
    kind : {"none", "drift", "affine", "flow"}
        Replaced by a simpler one where there are too few matches.
    start, moved : float array, shape (n, d)
        Where matched particles were, and by how much they moved, px.
    box : Box
    shape : tuple of int
        Nodes along each axis, as `n_nodes` gives them.
    """
    while len(start) < LEAST_MATCHES[kind]:
        kind = KINDS[KINDS.index(kind) - 1]
    n_axes = start.shape[1]
    nodes: Floats = np.zeros((*shape, n_axes))
    if kind == "none":
        return nodes
    basis = (
        np.ones((len(start), 1))
        if kind == "drift"
        else np.column_stack([np.ones(len(start)), start - box.low])
    )
    thin = slice(None, None, max(1, len(start) // _ENOUGH))
    coefficients = robust_fit(basis[thin], moved[thin])
    places = np.stack(
        np.meshgrid(*(np.linspace(0, 1, n) if n > 1 else np.zeros(1) for n in shape), indexing="ij"), -1
    )
    nodes += coefficients[0]
    if kind != "drift":
        nodes += (places * box.extent) @ coefficients[1:]
    if kind == "flow":
        residual = moved - basis @ coefficients
        first = _corrections(start, residual, np.ones(len(start)), box, shape)
        # What is unusual shows beside the flow, not beside the affine motion.
        weight = biweight(residual - interpolate(first, start, box))[0]
        nodes += _corrections(start, residual, weight, box, shape)
    return nodes


def robust_fit(basis: Floats, values: Floats) -> Floats:
    """Least squares with Tukey's biweight: coefficients, shape (p, d), of values, shape (n, d)."""
    # The median alone knows nothing of a gradient: the first round may throw nothing away for it.
    weight = biweight(values - np.median(values, axis=0), 2.0 * _TUKEY)[0]
    coefficients: Floats = np.zeros((basis.shape[1], values.shape[1]))
    for _ in range(_ROUNDS):
        root = np.sqrt(weight)[:, None]
        coefficients = np.asarray(np.linalg.lstsq(basis * root, values * root, rcond=None)[0], dtype=float)
        weight = biweight(values - basis @ coefficients)[0]
    return coefficients


def biweight(residual: Floats, reach: float = _TUKEY) -> tuple[Floats, Floats]:
    """Tukey's weight of residuals, shape (n, d), and the slope of weight times residual.

    Returns
    -------
    weight : float array, shape (n,)
        1 at no residual, 0 beyond `reach` standard deviations per axis, which the median gives.
    slope : float array, shape (n, d)
        d(weight residual_a) / d residual_a.
    """
    square = (residual**2).sum(axis=1)
    variance = max(float(np.median(square)) / median_square(residual.shape[1]), 1e-12)
    inside = np.clip(1.0 - square / (reach**2 * variance), 0.0, 1.0)
    slope = inside[:, None] ** 2 - 4.0 * inside[:, None] * residual**2 / (reach**2 * variance)
    return inside**2, slope


def median_square(n_axes: int) -> float:
    """Median of the squared length of a standard normal vector."""
    return {1: 0.4549, 2: 1.3863, 3: 2.3660}[n_axes]


@njit(cache=True, nogil=True, error_model="numpy")
def _hats(start: Floats, low: Floats, per_step: Floats, shape: Integers) -> tuple[Integers, Floats]:
    """The corner nodes of the cell of every point and their weights in linear interpolation, (n, 2^d) each."""
    n, d = start.shape
    index = np.empty((n, 1 << d), dtype=np.int64)
    weights = np.empty((n, 1 << d))
    base = np.zeros(d, dtype=np.int64)
    part = np.zeros(d)
    for i in range(n):
        for a in range(d):
            if shape[a] > 1:
                place = (start[i, a] - low[a]) * per_step[a]
                base[a] = int(min(max(place, 0.0), shape[a] - 2.0))
                part[a] = place - base[a]
        for corner in range(1 << d):
            row, weight = 0, 1.0
            for a in range(d):
                upper = (corner >> a) & 1
                row = row * shape[a] + min(base[a] + upper, shape[a] - 1)
                weight *= part[a] if upper else 1.0 - part[a]
            index[i, corner], weights[i, corner] = row, weight
    return index, weights


def hat_weights(start: Floats, box: Box, shape: tuple[int, ...]) -> tuple[Integers, Floats]:
    """Nodes (as rows of the flattened grid) and weights by which a field is interpolated at points, (n, 2^d) each."""
    per_step = (np.array(shape) - 1) / np.where(box.extent > 0, box.extent, 1.0)
    return _hats(np.ascontiguousarray(start), box.low, per_step, np.array(shape))


def interpolate(nodes: Floats, start: Floats, box: Box) -> Floats:
    """Displacement at points, shape (n, d), linear between the nodes and beyond them."""
    flat = nodes.reshape(-1, nodes.shape[-1])
    if len(flat) == 1:
        return np.broadcast_to(flat, start.shape)
    index, weights = hat_weights(start, box, nodes.shape[:-1])
    return np.asarray(sum(weights[:, c, None] * flat[index[:, c]] for c in range(index.shape[1])))


def _corrections(start: Floats, residual: Floats, weight: Floats, box: Box, shape: tuple[int, ...]) -> Floats:
    """Local means of what the affine motion leaves, times the share of their variance that is no noise."""
    index, hats = hat_weights(start, box, shape)
    shares = np.clip(hats, 0.0, 1.0) * weight[:, None]
    size = int(np.prod(shape))
    total = np.bincount(index.ravel(), shares.ravel(), size)
    squares = np.bincount(index.ravel(), (shares**2).ravel(), size)
    safe = np.maximum(total, 1e-9)
    means = np.stack(
        [np.bincount(index.ravel(), (shares * r[:, None]).ravel(), size) / safe for r in residual.T], axis=1
    )
    variance = float(np.average((residual**2).mean(axis=1), weights=weight + 1e-12))
    seen = total > 1.0
    if not seen.any():
        return np.zeros((*shape, residual.shape[1]))
    noise = variance * squares / safe**2
    found = float((means[seen] ** 2).mean())
    kept = max(0.0, 1.0 - float(noise[seen].mean()) / max(found, 1e-12))
    return np.where(seen[:, None], kept * means, 0.0).reshape(*shape, residual.shape[1])

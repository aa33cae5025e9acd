"""Where particles are expected in the next frame: common motion found before anything is linked.

From one frame to the next, tiles vote on their displacement, particles are matched beside the place
where it leads, and a drift, an affine motion or a flow is fitted to the matches. Every step stands for itself, so
that a motion that starts, stops or swings needs no history.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.spatial import cKDTree

from colloidlab.errors import UsageError
from colloidlab.progress import SILENT, Monitor
from colloidlab.tracks import costs, votes
from colloidlab.tracks.assignment import Floats, Integers, solve
from colloidlab.tracks.candidates import find_candidates, sort_into_cells
from colloidlab.tracks.chain import REST, Motion
from colloidlab.tracks.fields import KINDS, Box, Kind, fit, interpolate, median_square, n_nodes

Prediction = Literal["none", "drift", "affine", "flow", "auto"]

_TRIALS = 24
"""Steps on which the kinds are compared."""
_GAIN = 0.97
"""Ratio of squared prediction errors below which a richer kind is worth its freedom."""
FRACTION_OF_SPACING = 0.6
"""No match is farther from where its particle is expected, in units of the typical distance of particles."""
_LEAST_REACH_PX = 1.0
_LEAST_PARTICLES = 5.0


@dataclass(frozen=True)
class Expectation:
    """The motion that is taken for granted, and why.

    Parameters
    ----------
    motion : Motion
    kind : {"none", "drift", "affine", "flow"}
    step_px : float
        Standard deviation per axis of what is left of the displacements over one frame; NaN where nothing
        was matched.
    reach_px : float
        Twice the length that 95 % of these do not exceed, but no more than 0.6 of the typical distance of
        particles; NaN where nothing was matched.
    spacing_px : float
        Typical distance of particles.
    reason : str
    """

    motion: Motion
    kind: Kind
    step_px: float
    reach_px: float
    spacing_px: float
    reason: str


class Steps:
    """Pairs of successive frames that hold features.

    Parameters
    ----------
    frame : int64 array, shape (n,)
        In rising order.
    positions : float array, shape (n, d), px
    """

    def __init__(self, frame: Integers, positions: Floats) -> None:
        self._positions = positions
        present = np.unique(frame)
        self.successive = np.flatnonzero(np.diff(present) == 1)
        """Steps between frames without a gap."""
        self._starts = np.concatenate([[0], np.flatnonzero(frame[1:] != frame[:-1]) + 1, [len(frame)]])
        low = positions.min(axis=0)
        self.box = Box(low, np.maximum(positions.max(axis=0) - low, 1e-6))
        self.n_particles = len(frame) / len(present)
        self.spacing = self._spacing()

    def __len__(self) -> int:
        return len(self._starts) - 2

    def _spacing(self) -> float:
        """Typical distance of particles, px: without rivals the size of the view.

        In a channel or on a plane the nearest neighbours know it better than the density.
        """
        crowded = self.points(int(np.argmax(np.diff(self._starts)[:-1])))[0]
        if len(crowded) < 2:
            return float(np.linalg.norm(self.box.extent)) / FRACTION_OF_SPACING
        volume = float(np.prod(np.maximum(self.box.extent, 1.0)))
        even = (volume / self.n_particles) ** (1 / self.box.n_axes)
        return max(even, float(np.median(cKDTree(crowded).query(crowded, k=2)[0][:, 1])))

    def points(self, k: int) -> tuple[Floats, Floats]:
        """Positions in the frame before and after step k, shape (n, d) and (m, d)."""
        a, b, c = self._starts[k : k + 3]
        return self._positions[a:b], self._positions[b:c]

    def seed(self, k: int) -> Floats:
        """Displacement of the particles before step k as their tiles have it, shape (n, d); zero in 3D."""
        before, after = (wide(p) for p in self.points(k))
        if self.box.n_axes == 3:
            return np.zeros((len(before), 3))
        moved = votes.tile_displacements(before, after, self.box.low, self.box.extent, self.spacing)
        half = self.box.extent / np.array(moved.shape[:2]) / 2.0
        inner = Box(self.box.low + half, self.box.extent - 2.0 * half)
        clipped = np.clip(before[:, :2], inner.low, inner.low + inner.extent)
        return interpolate(moved, clipped, inner)

    def match(self, k: int, expected: Floats, reach: float) -> tuple[Floats, Floats]:
        """Where matched particles were and by how much they moved in step k, shape (n, d) each."""
        before, after = self.points(k)
        objective = costs.squared(reach)
        cells = sort_into_cells(wide(after), float(objective.reach[0]))
        rest = np.zeros(len(before), dtype=np.int64)
        candidates = find_candidates(wide(before + expected), rest, cells, objective)
        link, _ = solve(candidates, len(after), False)
        source = np.flatnonzero(link >= 0)
        target = cells.order[candidates.target[link[source]]]
        return before[source], after[target] - before[source]


def expect(
    frame: Integers, positions: Floats, prediction: Prediction = "auto", monitor: Monitor = SILENT
) -> Expectation:
    """Find the common motion of all steps.

    Parameters
    ----------
    frame : int64 array, shape (n,)
        In rising order.
    positions : float array, shape (n, d), px
    prediction : {"none", "drift", "affine", "flow", "auto"}
        "auto" compares them by their error for particles that they were not fitted to.
    monitor : Monitor

    Raises
    ------
    UsageError
        A flow of positions in three dimensions.
    """
    if prediction == "flow" and positions.shape[1] == 3:
        raise UsageError("a flow is predicted in two dimensions only; choose drift or affine for stacks")
    steps = Steps(frame, positions) if len(frame) and frame[0] != frame[-1] else None
    if steps is None or len(steps.successive) == 0:
        return Expectation(
            REST, "none", np.nan, np.nan, np.nan, "there are no two successive frames to compare"
        )
    kinds = (
        [prediction] if prediction != "auto" else [k for k in KINDS if k != "flow" or steps.box.n_axes == 2]
    )
    tried = np.unique(np.linspace(0, len(steps.successive) - 1, _TRIALS).astype(int))
    matches = [
        steps.match(k, steps.seed(k), FRACTION_OF_SPACING * steps.spacing)
        for k in steps.successive[tried].tolist()
    ]
    squares = {kind: _held_out(kind, matches, steps) for kind in kinds}
    per_axis = median_square(steps.box.n_axes)
    errors = {kind: float(np.median(s)) / per_axis if len(s) else np.nan for kind, s in squares.items()}
    kind, reason = _chosen(prediction, errors, kinds, steps)
    if not np.isfinite(errors[kind]):
        return Expectation(REST, "none", np.nan, np.nan, steps.spacing, reason)
    scale = float(np.sqrt(errors[kind]))
    reach = 2.0 * float(np.sqrt(np.percentile(squares[kind], 95)))
    reach = min(max(reach, _LEAST_REACH_PX), FRACTION_OF_SPACING * steps.spacing)
    motion = REST
    if kind != "none":
        fields = [_fitted(kind, k, steps, reach) for k in monitor.track(range(len(steps)), "motion")]
        motion = _as_motion(np.stack(fields), steps.box)
    return Expectation(motion, kind, scale, reach, steps.spacing, reason)


def _chosen(
    prediction: Prediction, errors: dict[Kind, float], kinds: list[Kind], steps: Steps
) -> tuple[Kind, str]:
    if prediction != "auto":
        return prediction, f"{prediction} given by the user"
    if steps.n_particles < _LEAST_PARTICLES or not np.isfinite(errors["none"]):
        return "none", "too few particles to find a common motion"
    best: Kind = "none"
    for kind in kinds[1:]:
        if errors[kind] < _GAIN * errors[best]:
            best = kind
    left = float(np.sqrt(errors[best]))
    if best == "none":
        return best, f"no common motion predicts better than rest ({left:.2g} px a frame and axis)"
    words = {
        "drift": "a drift",
        "affine": "an affine motion (drift, shear, rotation)",
        "flow": "a smooth flow",
    }
    rest = float(np.sqrt(errors["none"]))
    return (
        best,
        f"{words[best]} predicts displacements to {left:.2g} px a frame and axis, rest to {rest:.2g} px",
    )


def _held_out(kind: Kind, matches: list[tuple[Floats, Floats]], steps: Steps) -> Floats:
    """Squared displacements about the field that was fitted to the other half of the particles."""
    shape = n_nodes(kind, steps.box, steps.n_particles)
    squares = [np.empty(0)]
    for start, moved in matches:
        for half in (0, 1):
            fitted = np.arange(len(start)) % 2 == half
            nodes = fit(kind, start[fitted], moved[fitted], steps.box, shape)
            left = moved[~fitted] - interpolate(nodes, start[~fitted], steps.box)
            squares.append((left**2).sum(axis=1))
    return np.concatenate(squares)


def _fitted(kind: Kind, k: int, steps: Steps, reach: float) -> Floats:
    """The field of one step: matched from the tiles' votes, then once more from the first fit."""
    shape = n_nodes(kind, steps.box, steps.n_particles)
    start, moved = steps.match(k, steps.seed(k), FRACTION_OF_SPACING * steps.spacing)
    nodes = fit(kind, start, moved, steps.box, shape)
    expected = interpolate(nodes, steps.points(k)[0], steps.box)
    start, moved = steps.match(k, expected, reach)
    return fit(kind, start, moved, steps.box, shape)


def _as_motion(nodes: Floats, box: Box) -> Motion:
    """Fields as `chain.follow` takes them: always three axes."""
    missing = 3 - box.n_axes
    shape = nodes.shape[1:-1]
    step = np.array([e / (n - 1) if n > 1 else 1.0 for e, n in zip(box.extent, shape)])
    full = np.zeros((len(nodes), *shape, *(1,) * missing, 3))
    full[..., : box.n_axes] = nodes.reshape(len(nodes), *shape, *(1,) * missing, box.n_axes)
    return Motion(
        np.concatenate([box.low, np.zeros(missing)]), np.concatenate([step, np.ones(missing)]), full
    )


def wide(points: Floats) -> Floats:
    """Positions with three coordinates, shape (n, 3)."""
    out = np.zeros((len(points), 3))
    out[:, : points.shape[1]] = points
    return out

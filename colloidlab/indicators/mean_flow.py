"""Mean velocity and velocity gradient on a grid, from the particles around each node."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd

from colloidlab.errors import InputError
from colloidlab.indicators.cells import Cells, sort_into_cells
from colloidlab.indicators.lagged import rows_apart
from colloidlab.indicators.local_linear import Moments, inverses, moments, sum_residuals
from colloidlab.indicators.neighbours import minimum_image
from colloidlab.indicators.trajectories import Floats, Integers, trajectories
from colloidlab.progress import SILENT, Monitor

RADIUS_SPACINGS = 4.0
"""Radius that suits a flow, in neighbour spacings: weighted as they are, the particles within it (some 60 in two
dimensions) have a mean square distance as those of a disc of a radius of 2.8 spacings."""

_BLOCKS, _LEAST_BLOCK = 10, 2
"""Blocks of time whose scatter gives an error, and frames that each must have."""


@dataclass(frozen=True)
class MeanFlow:
    """Velocity field on m nodes of a grid, in n windows of time.

    Parameters
    ----------
    frames : int array, shape (n,)
        Last frame of each window.
    nodes : float array, shape (m, D), px
    shape : tuple of int
        Nodes along x, y[, z]: `velocity[k, :, 0].reshape(shape)` is v_x with x along the first axis.
    velocity, velocity_error : float array, shape (n, m, D), px/frame
        And its standard error. NaN where too few particles are near.
    gradient, gradient_error : float array, shape (n, m, D, D), 1/frame
        [i, j] = ∂v_i/∂x_j.
    n_particles : int array, shape (n, m)
        Displacements within the radius, of all frames of the window.
    averaged : bool
        The one window is the whole recording.
    """

    frames: Integers
    nodes: Floats
    shape: tuple[int, ...]
    velocity: Floats
    velocity_error: Floats
    gradient: Floats
    gradient_error: Floats
    n_particles: Integers
    averaged: bool

    @property
    def shear_rate(self) -> Floats:
        """∂v_x/∂y + ∂v_y/∂x, 1/frame, shape (n, m)."""
        return self.gradient[..., 0, 1] + self.gradient[..., 1, 0]

    @property
    def vorticity(self) -> Floats:
        """∂v_y/∂x − ∂v_x/∂y, 1/frame, shape (n, m): twice the rate of rotation from x towards y."""
        return self.gradient[..., 1, 0] - self.gradient[..., 0, 1]

    def to_table(self) -> pd.DataFrame:
        """Long form, without the nodes where nothing is known.

        Columns frame (unless averaged), x, y[, z], vx_px, vy_px, dvx_dx_per_frame, dvx_dy_per_frame, ...,
        shear_rate_per_frame, vorticity_per_frame, vx_error_px, ..., dvx_dx_error_per_frame, ...,
        shear_rate_error_per_frame, vorticity_error_per_frame, n_particles.
        """
        axes = "xyz"[: self.nodes.shape[1]]
        n, m = self.n_particles.shape
        columns: dict[str, np.ndarray] = {"frame": np.repeat(self.frames, m)}
        columns |= {a: np.tile(self.nodes[:, i], n) for i, a in enumerate(axes)}
        # Rows of a local fit are independent of each other, so squares of errors add up.
        turning = np.hypot(self.gradient_error[..., 0, 1], self.gradient_error[..., 1, 0])
        for error, velocity, gradient, shear, vorticity in (
            ("", self.velocity, self.gradient, self.shear_rate, self.vorticity),
            ("_error", self.velocity_error, self.gradient_error, turning, turning),
        ):
            columns |= {f"v{a}{error}_px": velocity[..., i].ravel() for i, a in enumerate(axes)}
            for i, a in enumerate(axes):
                columns |= {
                    f"dv{a}_d{b}{error}_per_frame": gradient[..., i, j].ravel() for j, b in enumerate(axes)
                }
            columns |= {f"shear_rate{error}_per_frame": shear.ravel()}
            columns |= {f"vorticity{error}_per_frame": vorticity.ravel()}
        table = pd.DataFrame(columns | {"n_particles": self.n_particles.ravel()})
        table = table[table["vx_px"].notna()].reset_index(drop=True)
        return table.drop(columns="frame") if self.averaged else table


@dataclass(frozen=True)
class _Samples:
    """Displacements over the lag, sorted by their later frame: `bounds[k]` to `bounds[k + 1]` belong to `frames[k]`."""

    frames: Integers
    bounds: Integers
    places: Floats
    velocity: Floats


def mean_flow(
    tracks: pd.DataFrame,
    *,
    radius_px: float,
    step_px: float | None = None,
    lag_frames: int = 1,
    window_frames: int | None = None,
    box: Floats | None = None,
    monitor: Monitor = SILENT,
) -> MeanFlow:
    """Velocity and velocity gradient by linear fits to the displacements around each node.

    A displacement over the lag, divided by it, is a velocity half-way, in place and in time. Weights are
    (1 − r²/h²)², h being the radius. Fields that are linear over the radius are reproduced exactly, also beside an
    edge. A wave exp(ik·x) loses k²h²/16 of its velocity and k²h²/20 of its gradient along k in two dimensions, as
    long as kh < 1 or so; k² being that of all directions together.

    The standard error is the larger of two: from the scatter of single displacements about the fit, as if they
    were independent; and, where the window has 20 frames, from the scatter of ten blocks of time, which shows
    what neighbours share and what lasts. A flow that changes in time therefore has a large error in its average.

    Parameters
    ----------
    tracks : DataFrame
        Columns frame, particle, x, y[, z] in px; gaps and particles that come and go are fine.
    radius_px : float
        h; `RADIUS_SPACINGS` times the neighbour spacing is a good choice. Nearer structure is smoothed away.
    step_px : float, optional
        Distance of the nodes [half of the radius].
    lag_frames : int
        Over which displacements are taken.
    window_frames : int, optional
        Frames that make one field; 1 gives a field for every frame [all of them make one].
    box : float array, shape (D,), optional
        Sides of a periodic box, px.
    monitor : Monitor

    Raises
    ------
    InputError
        A column is missing, a length or time is not positive, or nobody is in two frames a lag apart.

    References
    ----------
    Fan & Gijbels, Local Polynomial Modelling and its Applications (1996), chapter 3.
    """
    step = 0.5 * radius_px if step_px is None else step_px
    options = {"radius_px": radius_px, "step_px": step, "lag_frames": lag_frames}
    if window_frames is not None:
        options["window_frames"] = window_frames
    for name, value in options.items():
        if not value > 0:
            raise InputError(f"{name} of the mean flow is {value}; it must be larger than zero")
    sides = None if box is None else np.asarray(box, dtype=np.float64)
    samples = _samples(tracks, lag_frames, sides)
    nodes, shape = _nodes(samples.places, step, sides)
    length = window_frames or int(np.ptp(samples.frames)) + 1
    window = (samples.frames - samples.frames[0]) // length
    ends = np.append(np.flatnonzero(np.diff(window)), window.size - 1)
    firsts = np.append(0, ends[:-1] + 1)
    fields = []
    for first, end in monitor.track(list(zip(firsts, ends, strict=True)), "mean flow"):
        fields.append(_one_field(samples, range(first, end + 1), nodes, radius_px, sides))
    velocity, velocity_error, gradient, gradient_error, number = (
        np.stack(parts) for parts in zip(*fields, strict=True)
    )
    return MeanFlow(
        frames=samples.frames[ends],
        nodes=nodes,
        shape=shape,
        velocity=velocity,
        velocity_error=velocity_error,
        gradient=gradient,
        gradient_error=gradient_error,
        n_particles=number,
        averaged=window_frames is None,
    )


def mean_flow_table(
    tracks: pd.DataFrame,
    *,
    radius_px: float,
    step_px: float | None = None,
    lag_frames: int = 1,
    window_frames: int | None = None,
    monitor: Monitor = SILENT,
) -> pd.DataFrame:
    """`mean_flow` as a table; see `MeanFlow.to_table` for its columns."""
    flow = mean_flow(
        tracks,
        radius_px=radius_px,
        step_px=step_px,
        lag_frames=lag_frames,
        window_frames=window_frames,
        monitor=monitor,
    )
    return flow.to_table()


def _samples(tracks: pd.DataFrame, lag: int, box: Floats | None) -> _Samples:
    rows = trajectories(tracks)
    earlier, later = rows_apart(rows, lag)
    if earlier.size == 0:
        raise InputError(
            f"no particle is in two frames {lag} apart, so no velocity is known; link the features first"
        )
    order = np.argsort(rows.frames[later], kind="stable")
    earlier, later = earlier[order], later[order]
    frames, first = np.unique(rows.frames[later], return_index=True)
    moved = minimum_image(rows.values[later] - rows.values[earlier], box)
    places = rows.values[earlier] + 0.5 * moved
    return _Samples(frames, np.append(first, later.size), places, moved / lag)


def _nodes(places: Floats, step: float, box: Floats | None) -> tuple[Floats, tuple[int, ...]]:
    """Centres of equal cells about a step wide that fill the box, or the rectangle in which particles were seen."""
    low = np.zeros(places.shape[1]) if box is not None else places.min(axis=0)
    extent = (box if box is not None else places.max(axis=0)) - low
    shape = tuple(int(n) for n in np.maximum(np.round(extent / step), 1))
    axes = [low[d] + extent[d] * (np.arange(n) + 0.5) / n for d, n in enumerate(shape)]
    return np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, len(shape)), shape


def _one_field(
    samples: _Samples, window: range, nodes: Floats, radius: float, box: Floats | None
) -> tuple[Floats, Floats, Floats, Floats, Integers]:
    """Velocity, its error, gradient, its error, number; from the frames of one window."""
    m, n_dim = nodes.shape
    sums = Moments(
        np.zeros((m, 1 + n_dim, 1 + n_dim)),
        np.zeros((m, 1 + n_dim, 1 + n_dim)),
        np.zeros((m, 1 + n_dim, n_dim)),
        np.zeros(m, dtype=np.int64),
    )
    for _, cells, velocity in _frames(samples, window, radius, box):
        sums += moments(cells, nodes, velocity)
    inverse, known = inverses(sums)
    fit = np.einsum("mab,mbd->mad", inverse, sums.right)
    squares = np.zeros((m, n_dim))
    scores = np.zeros((_BLOCKS, m, 1 + n_dim, n_dim))
    for k, cells, velocity in _frames(samples, window, radius, box):
        block = (k - window.start) * _BLOCKS // len(window)
        sum_residuals(cells, nodes, velocity, fit, squares, scores[block])
    spread = np.einsum("mab,mbc,mcd->mad", inverse, sums.second, inverse)
    degrees = sums.normal[:, 0, 0] - np.einsum("mab,mba->m", inverse, sums.second)
    single = np.diagonal(spread, axis1=1, axis2=2)[:, :, None] * (squares / degrees[:, None])[:, None, :]
    variance = single
    if len(window) >= _BLOCKS * _LEAST_BLOCK:
        moved = np.einsum("mab,kmbd->kmad", inverse, scores)
        variance = np.maximum(single, (moved**2).sum(axis=0) * _BLOCKS / (_BLOCKS - 1))
    error = np.sqrt(variance)
    number = np.where(known, sums.number, 0)
    return (
        fit[:, 0],
        error[:, 0],
        fit[:, 1:].transpose(0, 2, 1) / radius,
        error[:, 1:].transpose(0, 2, 1) / radius,
        number,
    )


def _frames(
    samples: _Samples, window: range, radius: float, box: Floats | None
) -> Iterator[tuple[int, Cells, Floats]]:
    """Frame by frame: its index, and the particles' places and velocities."""
    for k in window:
        mine = slice(samples.bounds[k], samples.bounds[k + 1])
        yield k, sort_into_cells(samples.places[mine], radius, box), samples.velocity[mine]

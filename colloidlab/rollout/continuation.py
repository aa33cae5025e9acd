"""What the boundary does after the recording has ended.

The particles that are prescribed in the last frame stay, and go on as the material around them has moved:

- where the boundary's common motion (translation and affine deformation) is periodic, every particle repeats the local
  periodic motion at its place, from where it is, so that nothing jumps. That motion is a least-squares fit over all whole
  periods of the recording, weighted by distance; a drive that is felt only near a wall stays there;
- what is left over goes on where it is steady (a shear that never turns back); its change of area is left out, because
  the same particles could not fill it;
- else they rest.

They do not jiggle. Particles of prescribed motion act as a wall of infinite mass, and noise and friction that they
exchange with their neighbours keep the ratio of their temperature, whatever the wall does. Nobody enters or leaves.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.linalg import expm
from scipy.spatial import cKDTree

from colloidlab.indicators.period import Period, find_period, red_noise, waves
from colloidlab.rollout.boundary import STRETCH, Plan, lengthened

Motion = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]
"""Displacements and velocities, shape (n_times, n, 2), at no more than `STRETCH` successive frames after the recording."""

_WIDTH = 0.35
"""Standard deviation of the weights over the cutoff: some half of the distance of neighbours."""

_LEAST_ROWS = 20
"""For every number of a local fit; with fewer, farther particles count too."""

_STEADY = 4.0
"""Standard errors from zero beyond which a mean motion is one."""

_LAST_PART = 0.25
"""Of the recording, over which a motion without period is averaged."""

_WITHOUT_CHANGE_OF_AREA = np.eye(6)
"""Of the components v_x, v_y and the gradient xx, xy, yx, yy."""
_WITHOUT_CHANGE_OF_AREA[np.ix_([2, 5], [2, 5])] = [[0.5, -0.5], [-0.5, 0.5]]


@dataclass(frozen=True)
class Continuation:
    """How a boundary goes on.

    Attributes
    ----------
    period : Period or None
    velocity : float array, shape (2,), px/frame
        Of the steady part, at its centre.
    gradient : float array, shape (2, 2), 1/frame
        d v_i/d x_j of the steady part, without change of area.
    centre : float array, shape (2,), px
    """

    period: Period | None
    velocity: np.ndarray
    gradient: np.ndarray
    centre: np.ndarray

    @property
    def steady(self) -> bool:
        return bool(np.any(self.velocity != 0) or np.any(self.gradient != 0))

    def __str__(self) -> str:
        parts = []
        if self.period is not None:
            p = self.period
            parts.append(
                f"repeat the drive, whose period is {p.frames:.4g} frames ({p.share:.0%} of the common motion)"
            )
        if self.steady:
            rate = self.gradient[0, 1] + self.gradient[1, 0]
            speed = float(np.hypot(*self.velocity))
            parts.append(f"go on with its steady motion ({speed:.3g} px/frame, shear {rate:.3g} a frame)")
        return (
            " and ".join(parts)
            or "rest where it is, because its motion shows neither a period nor a steady flow"
        )


def prolong(plan: Plan, state: pd.DataFrame, n_frames: int, cutoff: float) -> tuple[Plan, Continuation]:
    """A plan that goes on after the recording.

    Parameters
    ----------
    plan : Plan
        It ends with the recording.
    state : DataFrame
        Filtered state of the whole recording.
    n_frames : int
        Of the longer plan.
    cutoff : float, px
        Range of the interactions.

    Raises
    ------
    UsageError
        So many frames do not fit into memory.
    """
    longer = lengthened(plan, n_frames)
    continuation = continue_boundary(state)
    n_old, last = plan.n_frames, plan.first + plan.n_frames - 1
    held = ~plan.simulated & np.isfinite(plan.S[-1])
    start = plan.r[-1, held]
    motions = [_steady_motion(continuation, start)]
    if continuation.period is not None:
        motions.append(_repeated(continuation.period, state, start, last, _WIDTH * cutoff))
    for k in range(n_old, n_frames, STRETCH):
        stop = min(k + STRETCH, n_frames)
        parts = [motion(np.arange(k, stop) - (n_old - 1)) for motion in motions]
        longer.r[k:stop, held] = start + sum(shift for shift, _ in parts)
        longer.v[k:stop, held] = sum(speed for _, speed in parts)
    longer.S[n_old:, held] = plan.S[-1, held]
    return longer, continuation


def continue_boundary(state: pd.DataFrame) -> Continuation:
    """What the common motion of the boundary particles has been, as far as it can be expected to go on."""
    part = state[state["boundary"].to_numpy(dtype=bool)]
    centre = part[["x", "y"]].to_numpy().mean(axis=0) if len(part) else np.zeros(2)
    frames, motion, size = _common_motion(part, centre)
    if len(frames) < 4:
        return Continuation(None, np.zeros(2), np.zeros((2, 2)), centre)
    period = find_period(frames, motion)
    if period is None:
        used, rest = max(int(_LAST_PART * len(frames)), 4), motion
    else:
        basis = waves(frames, [k / period.frames for k in period.harmonics])
        basis = np.column_stack([np.ones(len(frames)), basis])
        rest = motion - basis[:, 1:] @ np.linalg.lstsq(basis, motion, rcond=None)[0][1:]
        used = min(math.floor(len(frames) / period.frames) * round(period.frames), len(frames))
    rest = rest[-used:] @ _WITHOUT_CHANGE_OF_AREA
    mean = rest.mean(axis=0)
    # Of the mean of a process with memory: its spectral density at zero frequency over the number of frames.
    error = np.sqrt(red_noise(rest, 0.0) / used)
    mean = np.where(np.abs(mean) > _STEADY * error, mean, 0.0)
    return Continuation(period, mean[:2], mean[2:].reshape(2, 2) / size, centre)


def _common_motion(part: pd.DataFrame, centre: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
    """Mean velocity and its gradient times the size of the boundary in every frame, px/frame, shape (n, 6); frames; size."""
    offset = part[["x", "y"]].to_numpy() - centre
    size = float(np.sqrt((offset**2).mean())) if len(part) else 1.0
    table = np.column_stack([np.ones(len(part)), offset / size]), part[["vx_px", "vy_px"]].to_numpy()
    frame = part["frame"].to_numpy()
    order = np.argsort(frame, kind="stable")
    frames, start = np.unique(frame[order], return_index=True)
    rows = []
    for mine in np.split(order, start[1:]):
        fit = np.linalg.lstsq(table[0][mine], table[1][mine], rcond=None)[0]
        # With fewer than three particles a gradient is not defined: least squares then takes the smallest.
        rows.append(np.concatenate([fit[0], fit[1:].T.ravel()]))
    return frames, np.array(rows).reshape(-1, 6), size


def _steady_motion(c: Continuation, start: np.ndarray) -> Motion:
    """In the flow velocity + gradient (r - centre)."""
    flow = np.zeros((3, 3))
    flow[:2, :2], flow[:2, 2] = c.gradient, c.velocity
    offset = np.column_stack([start - c.centre, np.ones(len(start))])
    within = np.stack([expm(flow * t) for t in range(STRETCH)])

    def motion(times: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        propagator = within[times - times[0]] @ expm(flow * times[0])
        moved = offset @ propagator.transpose(0, 2, 1)
        return (moved - offset)[..., :2], (moved @ flow.T)[..., :2]

    return motion


def _repeated(period: Period, state: pd.DataFrame, start: np.ndarray, last: int, width: float) -> Motion:
    """The local periodic motion."""
    frequencies = [k / period.frames for k in period.harmonics]
    whole = math.floor((last + 1 - state["frame"].min()) / period.frames) * period.frames
    rows = state[state["frame"] > last - whole]
    frame, velocity = rows["frame"].to_numpy(), rows[["vx_px", "vy_px"]].to_numpy()
    place = rows[["x", "y"]].to_numpy()
    basis = np.column_stack([np.ones(len(rows)), waves(frame, frequencies)])
    tree = cKDTree(place)
    amplitude = np.zeros((len(start), basis.shape[1] - 1, 2))
    for p, here in enumerate(start):
        near, reach = _near(tree, here, width, _LEAST_ROWS * basis.shape[1])
        weight = np.exp(-0.25 * ((place[near] - here) ** 2).sum(axis=1) / reach**2)[:, None]
        amplitude[p] = np.linalg.lstsq(weight * basis[near], weight * velocity[near], rcond=None)[0][1:]
    rate = 2 * math.pi * np.array(frequencies)

    def integral(wave: np.ndarray) -> np.ndarray:
        cosine, sine = np.split(wave, 2, axis=1)
        return np.concatenate([sine / rate, -cosine / rate], axis=1)

    begin = integral(waves(np.array([last]), frequencies))

    def motion(times: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        then = waves(last + times, frequencies)
        shift = np.einsum("tk,pkd->tpd", integral(then) - begin, amplitude)
        return shift, np.einsum("tk,pkd->tpd", then, amplitude)

    return motion


def _near(tree: cKDTree, here: np.ndarray, width: float, least: int) -> tuple[np.ndarray, float]:
    """Rows within three widths, and the width: it grows until there are enough."""
    while True:
        near = np.sort(np.array(tree.query_ball_point(here, 3 * width), dtype=np.int64))
        if len(near) >= min(least, tree.n):
            return near, width
        width *= 1.5

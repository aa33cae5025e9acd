"""Is there inertia to see? A verdict before any fit, from the correlation of successive displacements."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from colloidlab.dataset.graph import find_pairs
from colloidlab.dataset.recording import Recording

INERTIAL = "inertial"
OVERDAMPED = "overdamped"
UNDECIDABLE = "undecidable"

_THRESHOLD = 0.33
"""Correlation of successive displacements at a friction of 2 a frame, (1 - e^-g)^2 / (2 (g - 1 + e^-g)).

With more friction the velocity is lost within half a frame, and what is left of it in the displacements cannot be
told from a long exposure or from compression that blends successive frames.
"""

_THRESHOLD_TWO = _THRESHOLD * float(np.exp(-2.0))
"""The same for displacements two frames apart, at that friction."""

_WELL_CONDITIONED = 1e4
"""Largest condition number of the fit of a flow to a particle's neighbours."""

_LAGS = 4
"""Covariances of displacements 0 to 3 frames apart: friction, stiffness, temperature and the error of an oscillator make
as many numbers."""
_FRAMES = _LAGS + 1
_MAX_FRAMES = 240
_BLOCKS = 12


@dataclass(frozen=True)
class Regime:
    """Verdict and the statistics behind it.

    Attributes
    ----------
    verdict : str
        "inertial", "overdamped" or "undecidable".
    reason : str
        One sentence.
    variance : float
        Variance of a displacement component relative to the neighbours, localisation error removed, px^2.
    correlation, correlation_error : float
        Correlation of successive relative displacements, and its standard error over blocks of time.
    autocovariance : tuple of 4 floats, px^2
        Covariance per component of relative displacements 0 to 3 frames apart, localisation error and all.
    error_variance : float, px^2
        Mean square of the stated localisation errors, per component.
    """

    verdict: str
    reason: str
    variance: float
    correlation: float
    correlation_error: float
    autocovariance: tuple[float, ...]
    error_variance: float


def judge(recording: Recording, neighbour_px: float) -> Regime:
    """Decide whether the motion has inertia at this frame rate and localisation error.

    Displacements are taken relative to a linear flow through those of the neighbours within `neighbour_px`,
    so that shear and rotation are not mistaken for inertia. With s^2 the variance of what is new in every frame of the
    localisation errors, <u_t u_t> holds +2 s^2 and <u_t u_{t+1}> holds -s^2; both are
    removed. White-noise displacements (overdamped) then have no correlation, caged ones a
    negative one, and inertial ones nearly 1.

    Where s is not known, both ends of what it may be have to agree, or the displacements two frames apart, which hold
    nothing of it, have to tell: velocity that is forgotten within half a frame leaves them hardly any correlation.
    """
    moments = _moments(recording, neighbour_px)
    if len(moments) < 2:
        return Regime(
            UNDECIDABLE,
            "no particle was followed through five frames in a row",
            0.0,
            float("nan"),
            float("inf"),
            (float("nan"),) * _LAGS,
            float("nan"),
        )
    total = moments.sum(axis=0)
    *covariances, noise = (total[1:] / total[0]).tolist()
    variance = covariances[0] - 2 * noise
    if not variance > noise:
        reason = (
            f"relative motion per frame ({_root(variance):.2g} px) does not stand out from the localisation error "
            f"({_root(noise):.2g} px); a lower frame rate, larger magnification or more light would help"
        )
        least = max(variance, 0.0)
        return Regime(UNDECIDABLE, reason, least, float("nan"), float("inf"), tuple(covariances), noise)
    correlation = _estimate(moments, _at_one_frame)
    if recording.sigma_stated and recording.sigma_new:
        verdict, reason = _with_known_error(correlation)
    elif recording.sigma_stated:
        verdict, reason = _with_part_of_the_error(moments, correlation)
    else:
        verdict, reason = _without_error(moments)
    value, error = correlation
    return Regime(verdict, reason, variance, value, error, tuple(covariances), noise)


_Estimate = tuple[float, float]
"""Value and standard error."""


def _with_known_error(correlation: _Estimate) -> tuple[str, str]:
    value, error = correlation
    if value - 2 * error > _THRESHOLD:
        return (
            INERTIAL,
            f"successive displacements are correlated ({value:.2f} ± {error:.2f}): velocity outlives a frame",
        )
    if value + 2 * error < _THRESHOLD:
        return OVERDAMPED, (
            f"successive displacements have a correlation of {value:.2f} ± {error:.2f}: velocity is "
            "forgotten within a frame, so there is no inertia to fit; diffusion is reported instead"
        )
    return UNDECIDABLE, (
        f"the correlation of successive displacements, {value:.2f} ± {error:.2f}, does not tell "
        "inertia from diffusion; record longer or faster"
    )


def _with_part_of_the_error(moments: np.ndarray, most: _Estimate) -> tuple[str, str]:
    """All of the stated error may be new in every frame, or none."""
    least = _estimate(moments, _with_errors_that_stay)
    bounds = [_with_known_error(least), _with_known_error(most)]
    if bounds[0][0] == bounds[1][0]:
        return bounds[1]
    far = _estimate(moments, _at_two_frames)
    if far[0] - 2 * far[1] > _THRESHOLD_TWO:
        return INERTIAL, _outlives(far)
    return UNDECIDABLE, (
        f"successive displacements have a correlation of {least[0]:.2f} to {most[0]:.2f}, depending on how much of the "
        "localisation error is new in every frame; record with more light, or give that part as sigma_scale"
    )


def _without_error(moments: np.ndarray) -> tuple[str, str]:
    """Nothing is known of the error, but for what would show in displacements two frames apart."""
    near, far = _estimate(moments, _at_one_frame), _estimate(moments, _at_two_frames)
    if near[0] - 2 * near[1] > _THRESHOLD:
        return _with_known_error(near)
    if far[0] - 2 * far[1] > _THRESHOLD_TWO:
        return INERTIAL, _outlives(far)
    # The smallest error with which the correlation reaches the threshold leaves this share of the variance to motion.
    motion = 1 - 2 * max(_THRESHOLD - near[0], 0.0) / (1 + 2 * _THRESHOLD)
    if abs(far[0]) + 2 * far[1] < _THRESHOLD_TWO * motion:
        return OVERDAMPED, (
            f"displacements two frames apart have no correlation ({far[0]:.3f} ± {far[1]:.3f}): velocity is "
            "forgotten within a frame, so there is no inertia to fit; diffusion is reported instead"
        )
    return UNDECIDABLE, (
        f"the localisation error is not known, and without it displacements one and two frames apart (correlations "
        f"{near[0]:.2f} ± {near[1]:.2f}, {far[0]:.2f} ± {far[1]:.2f}) do not tell inertia from diffusion; give sigma_px"
    )


def _outlives(far: _Estimate) -> str:
    return (
        f"displacements two frames apart are correlated ({far[0]:.2f} ± {far[1]:.2f}), whatever the localisation error: "
        "velocity outlives a frame"
    )


def _at_one_frame(total: np.ndarray) -> float:
    """Correlation of successive displacements, the stated errors removed."""
    _, c0, c1, *_, noise = total
    return float((c1 + noise) / (c0 - 2 * noise))


def _with_errors_that_stay(total: np.ndarray) -> float:
    """The same where none of the error is new in every frame."""
    return float(total[2] / total[1])


def _at_two_frames(total: np.ndarray) -> float:
    """A lower bound of the correlation two frames apart: the variance holds errors, the product does not."""
    return float(total[3] / total[1])


def _root(x: float) -> float:
    return float(np.sqrt(max(x, 0.0)))


def _moments(recording: Recording, neighbour_px: float) -> np.ndarray:
    """Per block of time, sums of (1, u.u, u.u', u.u'', u.u''', noise) per component and relative to neighbours."""
    frames = np.arange(recording.first, recording.stop - _LAGS)
    stride = max(1, len(frames) // _MAX_FRAMES)
    rows = []
    for frame in frames[::stride]:
        if any(f in recording.bad_frames for f in range(frame, frame + _FRAMES)):
            continue
        found = _frame_moments(recording, int(frame), neighbour_px)
        if found is not None:
            rows.append(found)
    if not rows:
        return np.empty((0, _LAGS + 2))
    return np.array([block.sum(axis=0) for block in np.array_split(np.array(rows), min(_BLOCKS, len(rows)))])


def _frame_moments(recording: Recording, frame: int, neighbour_px: float) -> np.ndarray | None:
    ids, positions, sigma = None, [], None
    for f in range(frame, frame + _FRAMES):
        r = recording.rows(f)
        seen = recording.observed[r]
        here = recording.particle[r][seen]
        ids = here if ids is None else np.intersect1d(ids, here, assume_unique=True)
        positions.append((here, recording.position[r][seen], recording.sigma[r][seen]))
    assert ids is not None
    if len(ids) < 2:
        return None
    y = np.array([p[np.searchsorted(h, ids)] for h, p, _ in positions])
    sigma = np.mean([s[np.searchsorted(h, ids)] ** 2 for h, _, s in positions], axis=(0, 2))
    u = np.diff(y, axis=0)
    kept, relative = _relative_to_flow(y[0], u, neighbour_px, recording.box)
    dim = y.shape[2]

    def dot(a: int, b: int) -> float:
        return float((relative[a] * relative[b]).sum()) / dim

    apart = [np.mean([dot(k, k + lag) for k in range(_LAGS - lag)]) for lag in range(_LAGS)]
    return np.array([kept.sum(), *apart, float(sigma[kept].sum())])


def _relative_to_flow(
    positions: np.ndarray, u: np.ndarray, neighbour_px: float, box: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray]:
    """Displacements minus the linear flow u = a + G (r - r_i) fitted to the neighbours' at each particle.

    They are scaled so that independent displacements keep their variance. Particles with too few neighbours to fit a
    flow are left out; where all are, the mean of everyone is the flow.

    Returns
    -------
    kept : bool array, shape (n,)
    relative : float array, shape (n_displacements, n_kept, D)
    """
    n, dim = positions.shape
    i, j = find_pairs(positions, neighbour_px, box=box)
    at, other = np.concatenate([i, j]), np.concatenate([j, i])
    offset = positions[other] - positions[at]
    if box is not None:
        offset -= np.where(box > 0, np.round(offset / np.where(box > 0, box, 1.0)) * box, 0.0)
    basis = np.column_stack([np.ones(len(at)), offset / neighbour_px])
    normal = np.zeros((n, dim + 1, dim + 1))
    np.add.at(normal, at, basis[:, :, None] * basis[:, None, :])
    kept = np.bincount(at, minlength=n) > dim + 1
    kept[kept] = np.linalg.cond(normal[kept]) < _WELL_CONDITIONED
    if not kept.any():
        return np.ones(n, dtype=bool), (u - u.mean(axis=1, keepdims=True)) / np.sqrt(1 - 1 / n)
    solution = np.zeros((n, dim + 1))
    solution[kept] = np.linalg.inv(normal[kept])[:, 0]
    weight = np.einsum("pk,pk->p", basis, solution[at])
    flow = np.zeros_like(u)
    for k in range(len(u)):
        np.add.at(flow[k], at, weight[:, None] * u[k, other])
    leverage = np.bincount(at, weights=weight**2, minlength=n)
    return kept, (u - flow)[:, kept] / np.sqrt(1 + leverage[kept])[:, None]


def _estimate(moments: np.ndarray, statistic: Callable[[np.ndarray], float]) -> _Estimate:
    """A statistic of the summed moments, and its standard error from leaving out blocks of time one at a time."""
    total = moments.sum(axis=0)
    values = np.array([statistic(rest) for block in moments if (rest := total - block)[0] > 0])
    m = len(values)
    error = np.sqrt((m - 1) / m * np.sum((values - values.mean()) ** 2)) if m > 1 else np.inf
    return statistic(total), float(error)

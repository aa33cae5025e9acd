"""Is there inertia to see? A verdict before any fit, from the correlation of successive displacements."""

from __future__ import annotations

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

_WELL_CONDITIONED = 1e4
"""Largest condition number of the fit of a flow to a particle's neighbours."""

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
    correlation2 : float
        Correlation of displacements two frames apart.
    """

    verdict: str
    reason: str
    variance: float
    correlation: float
    correlation_error: float
    correlation2: float


def judge(recording: Recording, neighbour_px: float) -> Regime:
    """Decide whether the motion has inertia at this frame rate and localisation error.

    Displacements are taken relative to a linear flow through those of the neighbours within `neighbour_px`,
    so that shear and rotation are not mistaken for inertia. With the
    variance of the localisation error s^2, <u_t u_t> holds +2 s^2 and <u_t u_{t+1}> holds -s^2; both are
    removed. White-noise displacements (overdamped) then have no correlation, caged ones a
    negative one, and inertial ones nearly 1.
    """
    moments = _moments(recording, neighbour_px)
    if len(moments) < 2:
        return Regime(
            UNDECIDABLE,
            "no particle was followed through four frames in a row",
            0.0,
            float("nan"),
            float("inf"),
            float("nan"),
        )
    total = moments.sum(axis=0)
    _, c0, c1, c2, noise = total / total[0]
    variance = c0 - 2 * noise
    if not variance > noise:
        reason = (
            f"relative motion per frame ({_root(variance):.2g} px) does not stand out from the localisation error "
            f"({_root(noise):.2g} px); a lower frame rate, larger magnification or more light would help"
        )
        return Regime(UNDECIDABLE, reason, max(variance, 0.0), float("nan"), float("inf"), float("nan"))
    correlation = (c1 + noise) / variance
    error = _jackknife(moments)
    if correlation - 2 * error > _THRESHOLD:
        verdict = INERTIAL
        reason = f"successive displacements are correlated ({correlation:.2f} ± {error:.2f}): velocity outlives a frame"
    elif correlation + 2 * error < _THRESHOLD:
        verdict = OVERDAMPED
        reason = (
            f"successive displacements have a correlation of {correlation:.2f} ± {error:.2f}: velocity is "
            "forgotten within a frame, so there is no inertia to fit; diffusion is reported instead"
        )
    else:
        verdict = UNDECIDABLE
        reason = (
            f"the correlation of successive displacements, {correlation:.2f} ± {error:.2f}, does not tell "
            "inertia from diffusion; record longer or faster"
        )
    return Regime(verdict, reason, float(variance), float(correlation), float(error), float(c2 / variance))


def _root(x: float) -> float:
    return float(np.sqrt(max(x, 0.0)))


def _moments(recording: Recording, neighbour_px: float) -> np.ndarray:
    """Per block of time, sums of (1, u.u, u.u', u.u'', noise) per component and relative to neighbours."""
    frames = np.arange(recording.first, recording.stop - 3)
    stride = max(1, len(frames) // _MAX_FRAMES)
    rows = []
    for frame in frames[::stride]:
        if any(f in recording.bad_frames for f in range(frame, frame + 4)):
            continue
        found = _frame_moments(recording, int(frame), neighbour_px)
        if found is not None:
            rows.append(found)
    if not rows:
        return np.empty((0, 5))
    return np.array([block.sum(axis=0) for block in np.array_split(np.array(rows), min(_BLOCKS, len(rows)))])


def _frame_moments(recording: Recording, frame: int, neighbour_px: float) -> np.ndarray | None:
    ids, positions, sigma = None, [], None
    for f in range(frame, frame + 4):
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

    return np.array(
        [kept.sum(), dot(1, 1), 0.5 * (dot(0, 1) + dot(1, 2)), dot(0, 2), float(sigma[kept].sum())]
    )


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


def _jackknife(moments: np.ndarray) -> float:
    """Standard error of the correlation from leaving out blocks of time one at a time."""
    total = moments.sum(axis=0)
    values = []
    for block in moments:
        n, c0, c1, _, noise = total - block
        if n > 0 and c0 > 2 * noise:
            values.append((c1 + noise) / (c0 - 2 * noise))
    m = len(values)
    return (
        float(np.sqrt((m - 1) / m * np.sum((np.array(values) - np.mean(values)) ** 2)))
        if m > 1
        else float("inf")
    )

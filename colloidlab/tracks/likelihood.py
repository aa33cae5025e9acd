"""The likelihood of links, learned from a first linking of the same recording.

Each particle that is followed either shows up a displacement r from where it is expected, after g frames, or it
does not; each feature that belongs to none of them is new or false. With the density of displacements p_g(r),
the probability P_g of being seen and the density of new features lambda, the links are those of least

    sum over links of [ -ln P_g - ln p_g(r) + ln lambda ]  +  sum over the others of [ -ln (1 - P_g) ].

The cost of no link is thus not a matter of taste, and differs by the time that the particle has been away.

| symbol | name |
|---|---|
| p_1(r) | `shares`, `variances`: two normal distributions, for particles are not all equally fast |
| p_g(r) | the same, the variances times `spread[g - 1]` |
| P_g | `seen[g - 1]` |
| lambda | `new_per_area`, per px^d and frame |

References
----------
Jaqaman et al., Nature Methods 5, 695 (2008), for links as one assignment problem with costs of birth and death.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from colloidlab.tracks.assignment import Floats, Integers
from colloidlab.tracks.candidates import Costs
from colloidlab.tracks.chain import Motion, displacement
from colloidlab.tracks.fields import median_square

LEAST_LINKS = 50
"""Fewer say too little of the displacements."""

_LONGEST_GAP = 8
"""Frames; what is away longer counts as away so long."""
_MOST_STEPS = 20_000
_LEAST_VARIANCE = 0.02**2
"""px^2; no position is known better."""
_ROUNDS = 40
_BINS = 256
_FARTHEST = 12.0
"""In standard deviations of the wider normal distribution: beyond any link."""


@dataclass(frozen=True)
class Law:
    """What a first linking says of displacements, gaps and new features; symbols as above."""

    shares: Floats
    variances: Floats
    """Per axis, px^2."""
    spread: Floats
    seen: Floats
    new_per_area: float
    n_axes: int

    @property
    def step_px(self) -> float:
        """Standard deviation of a displacement per axis, px."""
        return float(np.sqrt(self.shares @ self.variances))

    def density(self, squares: Floats, gap: int) -> Floats:
        """p_g at squared displacements, px^-d."""
        variances = self.variances * self.spread[gap - 1]
        height = self.shares * (2 * np.pi * variances) ** (-self.n_axes / 2)
        return np.asarray(np.exp(-0.5 * squares[:, None] / variances) @ height)

    def costs(self, farthest_px: float | None = None) -> Costs:
        """The costs in nats; no link is longer than `farthest_px` times the square root of the spread."""
        n = len(self.spread)
        reach, null, table = np.empty(n), np.empty(n), np.empty((n, _BINS + 1))
        for g in range(n):
            end = _FARTHEST * np.sqrt(self.variances.max() * self.spread[g])
            if farthest_px is not None:
                end = min(end, farthest_px * float(np.sqrt(self.spread[g])))
            null[g] = -np.log1p(-self.seen[g])
            worth = self._cost(np.linspace(0, end, 4 * _BINS) ** 2, g + 1) <= null[g]
            # Where even a perfect hit is worth less than none, one bin is left and none of it taken.
            last = max(int(worth.sum()), 1)
            reach[g] = end * last / (4 * _BINS)
            table[g] = self._cost(np.linspace(0, reach[g] ** 2, _BINS + 1), g + 1)
        return Costs(reach, null, table)

    def _cost(self, squares: Floats, gap: int) -> Floats:
        density = np.maximum(self.density(squares, gap), 1e-300)
        return np.asarray(np.log(self.new_per_area) - np.log(self.seen[gap - 1]) - np.log(density))


def learn(
    frame: Integers,
    positions: Floats,
    particle: Integers,
    *,
    motion: Motion,
    memory: int,
    reach_px: float,
) -> Law | None:
    """Learn the law from linked features; None where there are too few links.

    Parameters
    ----------
    frame, positions, particle
        Rows in rising order of frame.
    motion : Motion
        With which they were linked.
    memory : int
    reach_px : float
        Range with which they were linked.
    """
    before, after = successive(particle)
    gap = frame[after] - frame[before]
    joined = gap == 1
    if joined.sum() < LEAST_LINKS:
        return None
    left = np.full(positions.shape, np.nan)
    left[before[joined]] = _residuals(frame, positions, before[joined], after[joined], motion)
    squares = (left[before[joined]] ** 2).sum(axis=1)
    thinned = squares[:: max(1, len(squares) // _MOST_STEPS)]
    shares, variances = _two_normals(thinned, positions.shape[1], reach_px)
    longest = min(memory + 1, _LONGEST_GAP)
    n_steps = len(np.unique(frame)) - 1
    # One pixel across where all particles lie on a line.
    volume = float(np.prod(np.maximum(np.ptp(positions, axis=0), 1.0)))
    began = len(frame) - len(before) - int((frame == frame[0]).sum())
    return Law(
        shares=shares,
        variances=variances,
        spread=_spread(left, before, after, joined, longest),
        seen=_seen(frame, before, gap, longest),
        new_per_area=(began + 0.5) / (n_steps * volume),
        n_axes=positions.shape[1],
    )


def successive(particle: Integers) -> tuple[Integers, Integers]:
    """Rows of every link: of the earlier and of the later sighting. Rows are in rising order of frame."""
    order = np.argsort(particle, kind="stable")
    same = np.flatnonzero(particle[order[1:]] == particle[order[:-1]])
    return order[same], order[same + 1]


def _residuals(
    frame: Integers, positions: Floats, before: Integers, after: Integers, motion: Motion
) -> Floats:
    """Displacements less what was expected, for links from one frame to the next."""
    left = positions[after] - positions[before]
    if len(motion.nodes) == 0:
        return np.asarray(left)
    step = np.searchsorted(np.unique(frame), frame[before])
    order = np.argsort(step, kind="stable")
    bounds = np.searchsorted(step[order], np.arange(len(motion.nodes) + 1))
    for k in range(len(motion.nodes)):
        rows = order[bounds[k] : bounds[k + 1]]
        left[rows] -= displacement(positions[before[rows]], motion, k)
    return np.asarray(left)


def _two_normals(squares: Floats, n_axes: int, reach: float) -> tuple[Floats, Floats]:
    """Shares and variances of two normal distributions of displacements (expectation maximisation).

    A third part, uniform within reach, takes up the wrong links and is left out.
    """
    scale = max(float(np.median(squares)) / median_square(n_axes), _LEAST_VARIANCE)
    # The mean knows of few fast particles among many that stick, where the median does not.
    wider = max(4.0 * scale, float(squares.mean()) / n_axes)
    variances, shares = np.array([scale, wider]), np.array([0.85, 0.13, 0.02])
    ball = {2: np.pi, 3: 4.0 / 3.0 * np.pi}[n_axes] * reach**n_axes
    for _ in range(_ROUNDS):
        height = (2 * np.pi * variances) ** (-n_axes / 2)
        parts = np.column_stack(
            [height * np.exp(-0.5 * squares[:, None] / variances), np.full(len(squares), 1.0 / ball)]
        )
        parts *= shares
        parts /= parts.sum(axis=1, keepdims=True)
        shares = parts.mean(axis=0)
        total = np.maximum(parts[:, :2].sum(axis=0), 1e-9)
        variances = np.maximum(
            (parts[:, :2] * squares[:, None]).sum(axis=0) / total / n_axes, _LEAST_VARIANCE
        )
    real = shares[:2] + 1e-6
    return real / real.sum(), variances


def _spread(left: Floats, before: Integers, after: Integers, joined: np.ndarray, longest: int) -> Floats:
    """Variance of the displacement over g = 1, 2, ... frames relative to one: g for free diffusion, less in a cage."""
    following = np.full(len(left), -1)
    following[before[joined]] = after[joined]
    row = before[joined]
    total = left[row]
    first = max(float(np.median((total**2).sum(axis=1))), 1e-12)
    spread = np.ones(longest)
    start = row
    for g in range(1, longest):
        start_next = following[start]
        has = (start_next >= 0) & (following[start_next] >= 0)
        total, start = total[has] + left[start_next[has]], start_next[has]
        if len(start) < LEAST_LINKS:
            # Too few long tracks to know: as if diffusing.
            spread[g:] = spread[g - 1] * np.arange(g + 1, longest + 1) / g
            break
        spread[g] = np.clip(np.median((total**2).sum(axis=1)) / first, spread[g - 1], (g + 1.0) ** 2)
    return spread


def _seen(frame: Integers, before: Integers, gap: Integers, longest: int) -> Floats:
    """Probability that a particle not seen for g - 1 frames is seen in the next, where that holds features."""
    present = np.unique(frame)
    until = np.full(len(frame), np.iinfo(np.int64).max)
    until[before] = gap
    seen = np.empty(longest)
    for g in range(1, longest + 1):
        waiting = (until >= g) & np.isin(frame + g, present)
        seen[g - 1] = ((until[waiting] == g).sum() + 0.5) / (waiting.sum() + 1.0)
    return seen

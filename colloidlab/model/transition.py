"""Exact motion of a damped, noisy oscillator over one frame: what a frame does to uncertainty."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class Transition(NamedTuple):
    """Propagator and noise of dr = v dt, dv = (-h r - g v) dt + dw with <dw dw> = dt, each shape (n,).

    (r, v) -> [[rr, rv], [vr, vv]] (r, v) + noise of covariance [[q_rr, q_rv], [q_rv, q_vv]].
    """

    rr: Tensor
    rv: Tensor
    vr: Tensor
    vv: Tensor
    q_rr: Tensor
    q_rv: Tensor
    q_vv: Tensor


def oscillator_transition(h: Tensor, g: Tensor, dt: float, doublings: int = 4) -> Transition:
    """Transition over dt of an oscillator of stiffness h and friction g (per unit mass, scalars per particle).

    A Taylor step of dt/2^doublings, then repeated doubling, which preserves the group property
    to the accuracy of the small step (relative error ~ (rate dt/2^doublings)^3). For h = g = 0 it is exact: q_rr = dt^3/3,
    the source of the factors 2/3 and 1/6 in the second differences of sampled motion.

    References
    ----------
    Ferretti et al., PRX 10, 031018 (2020); Brückner et al., PRL 125, 058103 (2020).
    """
    s = dt / 2**doublings
    g2 = g * g - h
    rr = 1 - h * s**2 / 2 + g * h * s**3 / 6
    rv = s - g * s**2 / 2 + g2 * s**3 / 6
    vr = -h * rv
    vv = 1 - g * s + g2 * s**2 / 2 - g * (g2 - h) * s**3 / 6
    q_rr = s**3 / 3 - g * s**4 / 4
    q_rv = s**2 / 2 - g * s**3 / 2 + (7 * g * g - 4 * h) * s**4 / 24
    q_vv = s - g * s**2 + (2 * g * g - h) * s**3 / 3
    for _ in range(doublings):
        q_rr, q_rv, q_vv = (
            q_rr + rr * rr * q_rr + 2 * rr * rv * q_rv + rv * rv * q_vv,
            q_rv + rr * vr * q_rr + (rr * vv + rv * vr) * q_rv + rv * vv * q_vv,
            q_vv + vr * vr * q_rr + 2 * vr * vv * q_rv + vv * vv * q_vv,
        )
        rr, rv, vr, vv = rr * rr + rv * vr, rr * rv + rv * vv, vr * rr + vv * vr, vr * rv + vv * vv
    return Transition(rr, rv, vr, vv, q_rr, q_rv, q_vv)


def inverse_and_logdet(m: Tensor) -> tuple[Tensor, Tensor]:
    """Inverse and log-determinant of symmetric positive matrices, shape (n, D, D), D 2 or 3, in closed form.

    Only the upper triangle is read, so that the inverse is symmetric to the last digit.
    """
    if m.shape[1] == 2:
        a, b, d = m[:, 0, 0], m[:, 0, 1], m[:, 1, 1]
        det = a * d - b * b
        rows = torch.stack([d, -b, -b, a], dim=1).reshape(-1, 2, 2)
        return rows / det[:, None, None], torch.log(det)
    a, b, c, d, e, f = (m[:, i, j] for i, j in ((0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (2, 2)))
    first = d * f - e * e, c * e - b * f, b * e - c * d
    second = a * f - c * c, b * c - a * e, a * d - b * b
    det = a * first[0] + b * first[1] + c * first[2]
    entries = [*first, first[1], second[0], second[1], first[2], second[1], second[2]]
    rows = torch.stack(entries, dim=1).reshape(-1, 3, 3)
    return rows / det[:, None, None], torch.log(det)


def symmetric(m: Tensor) -> Tensor:
    """Symmetric part of matrices of shape (n, D, D): what round-off adds to it would grow from frame to frame."""
    return 0.5 * (m + m.transpose(1, 2))

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


def oscillator_transition(h: Tensor, g: Tensor, dt: float, doublings: int = 3) -> Transition:
    """Transition over dt of an oscillator of stiffness h and friction g (per unit mass, scalars per particle).

    A Taylor step of dt/2^doublings, then repeated doubling (relative error ~ (rate dt/2^doublings)^5/100). For h = g = 0
    it is exact: q_rr = dt^3/3, the source of the factors 2/3 and 1/6 in the second differences of sampled motion.

    Three functions of time suffice: the propagator is a 1 + b M with M = [[0, 1], [-h, -g]], and the noise follows from
    q_rr by M Q + Q M^T + N = A N A^T, where N is the noise of a moment and A the propagator.

    References
    ----------
    Ferretti et al., PRX 10, 031018 (2020); Brückner et al., PRL 125, 058103 (2020).
    """
    s = dt / 2**doublings
    g2 = g * g
    third, fourth = g2 - h, g * (2 * h - g2)
    a = 1 + h * (g * (s**3 / 6) - s**2 / 2 - third * (s**4 / 24))
    b = s - g * (s**2 / 2) + third * (s**3 / 6) + fourth * (s**4 / 24)
    q = s**3 / 3 - g * (s**4 / 4) + (third / 3 + g2 / 4) * (s**5 / 5)
    for _ in range(doublings):
        square, both = b * b, 2 * a - g * b
        a2, hb2 = a * a, h * square
        q = q * (1 + a2 + hb2) + square * b * (both + 0.5 * g * b)
        a, b = a2 - hb2, b * both
    vv = a - g * b
    q_rv = 0.5 * b * b
    return Transition(rr=a, rv=b, vr=-h * b, vv=vv, q_rr=q, q_rv=q_rv, q_vv=h * q + g * q_rv + b * vv)


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

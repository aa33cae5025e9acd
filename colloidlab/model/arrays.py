"""Laws at one configuration, arrays in and arrays out: to check them, and to use them from elsewhere."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import nn

from colloidlab.errors import UsageError
from colloidlab.model import brackets
from colloidlab.model.entropy import EntropyEncoder
from colloidlab.model.laws import Laws
from colloidlab.model.pairs import Pairs, pair_geometry


@dataclass(frozen=True, eq=False)
class Fields(Mapping[str, np.ndarray]):
    """What laws say of n particles in D dimensions; float arrays, also by name: `fields["T"]`.

    Attributes
    ----------
    V, U, T, P, c : shape (n, 1)
        Volume, internal energy, temperature dU/dS, pressure -dU/dV, heat capacity T/(dT/dS) (infinite where T is
        one and the same).
    F : shape (n, D)
        Conservative force -dE/dr.
    dvdt : shape (n, D)
        Acceleration without noise: (F + friction)/m with k_B div M.
    dSdt : shape (n, 1)
        Rate of entropy without noise, with k_B div M.
    cov : shape (n, D + 1, D + 1)
        (v, S) block of 2 k_B M dt of every particle.
    """

    V: np.ndarray
    U: np.ndarray
    T: np.ndarray
    P: np.ndarray
    c: np.ndarray
    F: np.ndarray
    dvdt: np.ndarray
    dSdt: np.ndarray
    cov: np.ndarray

    def __getitem__(self, name: str) -> np.ndarray:
        if name not in _NAMES:
            raise KeyError(name)
        return np.asarray(getattr(self, name))

    def __iter__(self) -> Iterator[str]:
        return iter(_NAMES)

    def __len__(self) -> int:
        return len(_NAMES)


_NAMES = tuple(field.name for field in fields(Fields))


def evaluate(
    model: Laws,
    positions: ArrayLike,
    velocities: ArrayLike,
    entropies: ArrayLike,
    pairs: ArrayLike,
    *,
    box: ArrayLike | None = None,
    dt: float = 1.0,
) -> Fields:
    """Evaluate laws at one configuration.

    Parameters
    ----------
    model : Laws
    positions, velocities : float array, shape (n, D)
        D = 2 or 3, in the units of the laws.
    entropies : float array, shape (n, 1)
    pairs : int array, shape (2, n_pairs)
        Unique pairs i < j; all that are nearer than the cutoff. Farther ones are left aside.
    box : float array, shape (D,), or float, optional
        Periodic lengths, 0 where open [open].
    dt : float
        Time step of the covariance.

    Returns
    -------
    Fields

    Raises
    ------
    UsageError
        Shapes disagree, a value is not finite, or a pair is no pair i < j of these particles.

    References
    ----------
    Equations of `colloidlab.model.brackets`.
    """
    parameter = next(model.parameters())
    r, v, s = (np.asarray(a, dtype=np.float64) for a in (positions, velocities, entropies))
    index = np.asarray(pairs)
    lengths = None if box is None else np.broadcast_to(np.asarray(box, dtype=np.float64), r.shape[-1:])
    _check(model, r, v, s, index, lengths)

    def tensor(values: np.ndarray) -> torch.Tensor:
        return torch.tensor(values, dtype=parameter.dtype, device=parameter.device)

    with torch.no_grad():
        along = tensor(v)
        geometry = _geometry(parameter, r, index, model.cutoff, lengths)
        ev = brackets.evaluate(model, geometry, tensor(s[:, 0]))
        vv, vS, SS = brackets.marginal_covariance(model, ev, along)
        cov = torch.cat(
            [torch.cat([vv, vS[:, :, None]], dim=2), torch.cat([vS, SS[:, None]], dim=1)[:, None]], dim=1
        )
        found = {
            "V": ev.volume[:, None],
            "U": ev.thermo.U[:, None],
            "T": ev.thermo.T[:, None],
            "P": ev.thermo.P[:, None],
            "c": 1.0 / ev.thermo.inv_c[:, None],
            "F": ev.force,
            "dvdt": brackets.acceleration(model, ev, along),
            "dSdt": brackets.entropy_rate(model, ev, along)[:, None],
            "cov": dt * cov,
        }
    return Fields(**{name: value.cpu().numpy() for name, value in found.items()})


def encode(
    encoder: EntropyEncoder,
    positions: ArrayLike,
    velocities: ArrayLike,
    pairs: ArrayLike,
    *,
    cutoff: float,
    box: ArrayLike | None = None,
) -> np.ndarray:
    """Entropies that a fitted encoder reads off one frame: the start of a rollout where no other frame is known.

    Parameters
    ----------
    encoder : EntropyEncoder
    positions, velocities, pairs, box : arrays
        As in `evaluate`; particles at an open edge lack neighbours, so that theirs mean little.
    cutoff : float
        h of the laws that it was fitted with.

    Returns
    -------
    float array, shape (n, 1)

    Raises
    ------
    UsageError
        As `evaluate`.
    """
    r, v = (np.asarray(a, dtype=np.float64) for a in (positions, velocities))
    index = np.asarray(pairs)
    lengths = None if box is None else np.broadcast_to(np.asarray(box, dtype=np.float64), r.shape[-1:])
    _check(encoder, r, v, np.zeros((len(r), 1)), index, lengths)
    with torch.no_grad():
        geometry = _geometry(encoder.thermal_speed, r, index, cutoff, lengths)
        along = torch.tensor(v, dtype=encoder.thermal_speed.dtype, device=encoder.thermal_speed.device)
        S = encoder(geometry, along)
    return np.asarray(S.cpu().numpy()[:, None])


def _geometry(
    like: torch.Tensor, r: np.ndarray, index: np.ndarray, cutoff: float, box: np.ndarray | None
) -> Pairs:
    """The pairs nearer than the cutoff, with the type and on the device of `like`."""

    def tensor(values: np.ndarray) -> torch.Tensor:
        return torch.tensor(values, dtype=like.dtype, device=like.device)

    moved = tensor(r)
    geometry = pair_geometry(
        moved,
        torch.tensor(index, dtype=torch.int64, device=like.device),
        cutoff,
        torch.ones_like(moved[:, 0]),
        None if box is None else tensor(box),
    )
    return geometry.select(geometry.r < cutoff)


def _check(
    model: nn.Module, r: np.ndarray, v: np.ndarray, s: np.ndarray, index: np.ndarray, box: np.ndarray | None
) -> None:
    if r.ndim != 2 or r.shape[1] not in (2, 3):
        raise UsageError(f"positions have shape {r.shape}; give (n, 2) or (n, 3)")
    n_dims = getattr(model, "n_dims", r.shape[1])
    if r.shape[1] != n_dims:
        raise UsageError(f"positions have {r.shape[1]} dimensions, but the model was fitted in {n_dims}")
    if v.shape != r.shape or s.shape != (len(r), 1):
        raise UsageError(
            f"velocities {v.shape} and entropies {s.shape} do not belong to positions {r.shape}; "
            f"give {r.shape} and {(len(r), 1)}"
        )
    if not all(np.isfinite(a).all() for a in (r, v, s)):
        raise UsageError("a position, velocity or entropy is not finite; leave such particles out")
    if index.ndim != 2 or index.shape[0] != 2 or index.dtype.kind not in "iu":
        raise UsageError(
            f"pairs have shape {index.shape} and type {index.dtype}; give whole numbers, (2, n_pairs)"
        )
    if index.size and not (index[0].min() >= 0 and (index[0] < index[1]).all() and index[1].max() < len(r)):
        raise UsageError(f"every pair (i, j) must have 0 <= i < j < {len(r)}; turn or drop those that do not")
    if box is not None and not (np.isfinite(box) & (box >= 0)).all():
        raise UsageError(f"box lengths {box} are impossible; give positive ones, or 0 where open")

"""Laws at one configuration, arrays in and arrays out: to check them, and to use them from elsewhere."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields, replace

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import nn

from colloidlab.dataset.graph import find_pairs
from colloidlab.errors import UsageError
from colloidlab.model import brackets
from colloidlab.model.entropy import EntropyEncoder
from colloidlab.model.laws import Laws
from colloidlab.model.pairs import Pairs, pair_geometry
from colloidlab.model.reference import reference_neighbourhoods
from colloidlab.model.species import count_species
from colloidlab.model.strain import Strain, measure_strain


@dataclass(frozen=True, eq=False)
class LawValues(Mapping[str, np.ndarray]):
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


_NAMES = tuple(field.name for field in fields(LawValues))


def evaluate(
    model: Laws,
    positions: ArrayLike,
    velocities: ArrayLike,
    entropies: ArrayLike,
    pairs: ArrayLike,
    *,
    box: ArrayLike | None = None,
    dt: float = 1.0,
    scale: ArrayLike | None = None,
    species: ArrayLike | None = None,
    reference: ArrayLike | None = None,
) -> LawValues:
    """Evaluate laws at one configuration: fluids, mixtures and solids, of equal and of unequal particles.

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
    scale : float array, shape (n,), optional
        Radius over the mean radius of the recording that the laws were fitted to; the cutoff of a pair is that of the
        laws times the mean of its two ends [1].
    species : int array, shape (n,), optional
        Label 0, 1, ... of every particle; laws of a mixture need it, others do not know what to do with it.
    reference : float array, shape (n, D), optional
        Positions in the undeformed state, in the same box; laws of a solid need it. Neighbourhoods are those within
        the cutoff there.

    Returns
    -------
    LawValues

    Raises
    ------
    UsageError
        Shapes disagree, a value is not finite, a pair is no pair i < j of these particles or is there twice, a heat capacity
        is k_B or less, so that friction would speed particles up, or the laws need species or a reference that is not given.

    References
    ----------
    Equations of `colloidlab.model.brackets`.
    """
    parameter = next(model.parameters())
    r, v, s = _floats(positions=positions, velocities=velocities, entropies=entropies)
    index, lengths = np.asarray(pairs), _lengths(box, r)
    _check(model, r, v, s, index)
    if not 0 < dt < math.inf:
        raise UsageError(f"dt = {dt} is no time step; give a finite one above 0")

    def tensor(values: np.ndarray) -> torch.Tensor:
        return torch.tensor(values, dtype=parameter.dtype, device=parameter.device)

    with torch.no_grad():
        along = tensor(v)
        geometry = _geometry(
            parameter,
            r,
            index,
            model.cutoff,
            lengths,
            _scale(scale, len(r)),
            _species(model, species, len(r)),
        )
        strain = _strain(model, tensor, r, reference, lengths, _scale(scale, len(r)))
        ev = brackets.evaluate(model, replace(geometry, strain=strain), tensor(s[:, 0]))
        _check_heat_capacity(model, ev.thermo.inv_c)
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
    return LawValues(**{name: value.cpu().numpy() for name, value in found.items()})


def encode(
    encoder: EntropyEncoder,
    positions: ArrayLike,
    velocities: ArrayLike,
    pairs: ArrayLike,
    *,
    cutoff: float,
    box: ArrayLike | None = None,
    scale: ArrayLike | None = None,
) -> np.ndarray:
    """Entropies that a fitted encoder reads off one frame: the start of a rollout where no other frame is known.

    Parameters
    ----------
    encoder : EntropyEncoder
    positions, velocities, pairs, box, scale : arrays
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
    r, v = _floats(positions=positions, velocities=velocities)
    index, lengths = np.asarray(pairs), _lengths(box, r)
    _check(encoder, r, v, np.zeros((len(r), 1)), index)
    with torch.no_grad():
        geometry = _geometry(encoder.thermal_speed, r, index, cutoff, lengths, _scale(scale, len(r)))
        along = torch.tensor(v, dtype=encoder.thermal_speed.dtype, device=encoder.thermal_speed.device)
        S = encoder(geometry, along)
    return np.asarray(S.cpu().numpy()[:, None])


def _geometry(
    like: torch.Tensor,
    r: np.ndarray,
    index: np.ndarray,
    cutoff: float,
    box: np.ndarray | None,
    scale: np.ndarray | None = None,
    species: torch.Tensor | None = None,
) -> Pairs:
    """The pairs nearer than the cutoff, with the type and on the device of `like`."""

    def tensor(values: np.ndarray) -> torch.Tensor:
        return torch.tensor(values, dtype=like.dtype, device=like.device)

    geometry = pair_geometry(
        tensor(r),
        torch.tensor(index, dtype=torch.int64, device=like.device),
        cutoff,
        tensor(np.ones(len(r)) if scale is None else scale),
        None if box is None else tensor(box),
        None if species is None else species.to(like.device),
    )
    return geometry.select(geometry.r < geometry.h)


def _scale(scale: ArrayLike | None, n: int) -> np.ndarray | None:
    if scale is None:
        return None
    found = np.asarray(scale, dtype=np.float64)
    if found.shape != (n,) or not (np.isfinite(found) & (found > 0)).all():
        raise UsageError(
            f"scale of shape {found.shape} is none of {n} particles; give each radius over the mean radius, above 0, "
            f"of shape ({n},)"
        )
    return found


def _species(model: Laws, species: ArrayLike | None, n: int) -> torch.Tensor | None:
    """Label of every particle, where the laws are those of a mixture."""
    n_species = count_species(model)
    if species is None and n_species == 1:
        return None
    if n_species == 1:
        raise UsageError("these laws are of one species: leave `species` out, and give sizes as `scale`")
    if species is None:
        raise UsageError(
            f"these are laws of a mixture of {n_species} species: give `species`, the label 0 to {n_species - 1} of "
            f"every particle, shape ({n},)"
        )
    label = np.asarray(species)
    if label.shape != (n,) or label.dtype.kind not in "iu" or not ((label >= 0) & (label < n_species)).all():
        raise UsageError(
            f"species of shape {label.shape} and type {label.dtype} do not fit: give whole numbers from 0 to "
            f"{n_species - 1}, shape ({n},)"
        )
    return torch.as_tensor(label.astype(np.int64))


def _strain(
    model: Laws,
    tensor: Callable[[np.ndarray], torch.Tensor],
    r: np.ndarray,
    reference: ArrayLike | None,
    box: np.ndarray | None,
    scale: np.ndarray | None,
) -> Strain | None:
    """Strain of the neighbourhoods of the reference positions, where the laws are those of a solid."""
    if model.shear is None:
        if reference is not None:
            raise UsageError(
                "these are laws of a fluid, which has no undeformed state: leave `reference` out"
            )
        return None
    if reference is None:
        raise UsageError(
            f"these are laws of a solid: give `reference`, the positions in the undeformed state, shape {r.shape}"
        )
    before = np.asarray(reference, dtype=np.float64)
    if before.shape != r.shape or not np.isfinite(before).all():
        raise UsageError(
            f"reference positions {before.shape} do not belong to positions {r.shape}, or are not finite; give "
            f"finite ones of shape {r.shape}"
        )
    near = torch.as_tensor(find_pairs(before, model.cutoff, scale, box))
    at = tensor(before)
    neighbourhoods = reference_neighbourhoods(
        at,
        near.to(at.device),
        model.cutoff,
        box=None if box is None else tensor(box),
        scale=None if scale is None else tensor(scale),
    )
    return measure_strain(neighbourhoods, tensor(r))


def _floats(**arrays: ArrayLike) -> Iterator[np.ndarray]:
    for name, values in arrays.items():
        try:
            yield np.asarray(values, dtype=np.float64)
        except (TypeError, ValueError, RuntimeError):
            # The last is torch's, of a tensor with a gradient.
            raise UsageError(f"{name} are no array of numbers; give one of shape (n, D), or (n, 1)") from None


def _lengths(box: ArrayLike | None, r: np.ndarray) -> np.ndarray | None:
    """Periodic lengths, shape (D,)."""
    if box is None:
        return None
    try:
        found = np.broadcast_to(np.asarray(box, dtype=np.float64), r.shape[-1:])
    except (TypeError, ValueError):
        raise UsageError(
            f"box = {box} does not belong to positions of shape {r.shape}; give one length, or one for each axis"
        ) from None
    if not (np.isfinite(found) & (found >= 0)).all():
        raise UsageError(f"box lengths {found} are impossible; give positive ones, or 0 where open")
    return found


def _check_heat_capacity(model: Laws, inv_c: torch.Tensor) -> None:
    """c > k_B, without which the noise of the velocities is no longer balanced by a drag."""
    worst = float(inv_c.max()) if inv_c.numel() else 0.0
    if model.k_B * worst >= 1:
        raise UsageError(
            f"a heat capacity is {1 / worst:.3g}, and must be larger than k_B = {model.k_B:.3g}: with less, friction speeds "
            "particles up; give other entropies, or laws of a larger heat capacity"
        )


def _check(model: nn.Module, r: np.ndarray, v: np.ndarray, s: np.ndarray, index: np.ndarray) -> None:
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
    if len(np.unique(index[0].astype(np.int64) * len(r) + index[1])) < index.shape[1]:
        raise UsageError("a pair is there twice, and would count twice; drop those that repeat")

"""Fitted against true functions of a simulated gas, over what its particles visit."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch

from colloidlab.model import brackets
from colloidlab.model.energy import Isothermal
from colloidlab.model.laws import Laws
from colloidlab.model.pairs import Pairs, pair_geometry
from colloidlab.model.reference import neighbourhoods
from colloidlab.model.species import count_species
from colloidlab.model.strain import measure_strain
from colloidlab.model.tensors import dot
from colloidlab.synthetic.gas import Gas, Motion, gas_laws


@dataclass(frozen=True)
class Deviation:
    """Relative deviation of a fitted from the true function: the largest of five bins, and that of all together.

    Attributes
    ----------
    largest, overall : float
    bin : int
        Where it is the largest, 1 to 5: from near to far, or from the least to the greatest virial.
    """

    largest: float
    overall: float
    bin: int


@dataclass(frozen=True)
class Functions:
    """Deviations of the fitted from the true functions over the visited range.

    Attributes
    ----------
    noise_across, noise_along : Deviation
        Of K_perp and K_par, the squared amplitudes, in bins of distance.
    noise : Deviation
        Of tr K/D, in which errors of the two may cancel.
    friction : Deviation
        Of the trace of Gamma over D.
    pressure : Deviation
        Of the mean virial of a particle, in bins of the true one.
    conduction : Deviation, optional
        Of C^2; laws of one temperature have none.
    """

    noise_across: Deviation
    noise_along: Deviation
    noise: Deviation
    friction: Deviation
    pressure: Deviation
    conduction: Deviation | None


def function_errors(laws: Laws, gas: Gas, motion: Motion) -> Functions:
    """Compare fitted with true functions at the true positions and temperatures of a recording.

    Kernels and volumes are told apart by no trajectory, so that what they make is compared: noise, friction and
    virial, each at the particles' own temperatures.
    """
    true = gas_laws(gas)
    sums: list[np.ndarray] = []
    for pairs, T in _frames(gas, motion):
        with torch.no_grad():
            one, other = (_at_temperature(part, pairs, T) for part in (laws, true))
        sums.append(_binned(one, other, pairs))
    total = np.sum(sums, axis=0)
    across, along, noise, friction, pressure, conduction = (_deviation(part) for part in np.split(total, 6))
    plain = isinstance(laws.energy, Isothermal)
    return Functions(across, along, noise, friction, pressure, None if plain else conduction)


@dataclass(frozen=True)
class ForceErrors:
    """What the pressure does: a pressure that is the same all around makes no force, and its level is hardly seen.

    Attributes
    ----------
    slope, rms : float
        Regression of the fitted net force of a particle on the true one, and the rms difference over the rms true force.
    virial_slope : float
        Regression of the fitted virial of a particle on the true one: how the pressure varies, whatever its level.
    """

    slope: float
    rms: float
    virial_slope: float


def force_errors(laws: Laws, gas: Gas, motion: Motion) -> ForceErrors:
    """Compare fitted with true forces at the true positions and temperatures of a recording."""
    true = gas_laws(gas)
    forces, virials = [], []
    for pairs, T in _frames(gas, motion):
        with torch.no_grad():
            both = [_at_temperature(part, pairs, T) for part in (laws, true)]
        forces.append([ev.force.numpy().ravel() for ev in both])
        virials.append([_virial(ev, pairs) for ev in both])
    found, expected = np.concatenate(forces, axis=1)
    size = float(expected @ expected)
    virial, true_virial = np.concatenate(virials, axis=1)
    return ForceErrors(
        slope=float(found @ expected) / size,
        rms=float(np.sqrt(((found - expected) ** 2).sum() / size)),
        virial_slope=float(np.polyfit(true_virial, virial, 1)[0]),
    )


def mean_virial(gas: Gas, motion: Motion, frame: int) -> float:
    """Mean over the particles of a frame of 1/(2 D) sum_j r_ij f_ij, of the true law."""
    pairs = _pairs(gas, torch.as_tensor(motion.r[frame]))
    with torch.no_grad():
        ev = _at_temperature(gas_laws(gas), pairs, torch.as_tensor(motion.T[frame]))
    return float(_virial(ev, pairs).mean())


def volumes(laws: Laws, gas: Gas, motion: Motion) -> np.ndarray:
    """V of all particles in some frames, by the kernel of these laws."""
    found = []
    for pairs, _ in _frames(gas, motion):
        with torch.no_grad():
            known = pairs if count_species(laws) > 1 else replace(pairs, kind=None)
            found.append(brackets.evaluate(laws, known, torch.zeros(pairs.n, dtype=torch.float64)).volume)
    return np.asarray(torch.cat(found))


def _deviation(sums: np.ndarray) -> Deviation:
    """Of sums over bins of (fitted, true); a bin in which nothing is visited counts for nothing."""
    found, true = sums.T
    share = np.divide(found, true, out=np.ones_like(true), where=true != 0) - 1
    overall = found.sum() / true.sum() - 1
    size = np.abs(share)
    return Deviation(float(size.max()), float(overall), int(size.argmax()) + 1)


BINS = 5
VISITED = _NEAR, _FAR = 0.25, 0.85
"""Distances in units of the cutoff: nearer ones are rare, farther ones feel next to nothing."""


def _frames(gas: Gas, motion: Motion) -> Iterator[tuple[Pairs, torch.Tensor]]:
    """True pairs and temperatures of a dozen frames of a recording."""
    for frame in range(0, len(motion.r), max(len(motion.r) // 12, 1)):
        yield _pairs(gas, torch.as_tensor(motion.r[frame])), torch.as_tensor(motion.T[frame])


def _pairs(gas: Gas, r: torch.Tensor) -> Pairs:
    from colloidlab.dataset.graph import find_pairs

    box = np.full(gas.n_dims, gas.box)
    index = torch.as_tensor(find_pairs(r.numpy(), gas.cutoff, box=box))
    species = None if gas.species is None else torch.as_tensor(gas.species)
    lengths, size = torch.as_tensor(box), torch.ones_like(r[:, 0])
    pairs = pair_geometry(r, index, gas.cutoff, size, lengths, species)
    if (reference := gas.reference) is None:
        return pairs
    return replace(
        pairs,
        strain=measure_strain(neighbourhoods(reference, torch.ones_like(size, dtype=torch.bool), lengths), r),
    )


def _at_temperature(laws: Laws, pairs: Pairs, T: torch.Tensor) -> brackets.Evaluation:
    zero = torch.zeros_like(T)
    volume = brackets.evaluate(laws, pairs, zero).volume
    if isinstance(laws.energy, Isothermal):
        return brackets.evaluate(laws, pairs, zero)
    return brackets.evaluate(laws, pairs, laws.energy.entropy(T, volume))


def _binned(one: brackets.Evaluation, other: brackets.Evaluation, pairs: Pairs) -> np.ndarray:
    """Sums over bins of (fitted, true) in the order of `Functions`, the virial binned by the true one; (6 bins, 2)."""
    dim = pairs.e.shape[1]
    place = ((pairs.x.numpy() - _NEAR) / (_FAR - _NEAR) * BINS).astype(int)
    inside = (pairs.x.numpy() >= _NEAR) & (pairs.x.numpy() < _FAR)

    def by_distance(function: Callable[[brackets.Evaluation], torch.Tensor]) -> np.ndarray:
        columns = [function(ev).numpy()[inside] for ev in (one, other)]
        return np.column_stack([np.bincount(place[inside], weights=c, minlength=BINS) for c in columns])

    virials = [_virial(ev, pairs) for ev in (one, other)]
    rank = np.argsort(np.argsort(virials[1])) * BINS // len(virials[1])
    return np.concatenate(
        [
            by_distance(lambda ev: ev.k_perp),
            by_distance(lambda ev: ev.k_par),
            by_distance(lambda ev: ((dim - 1) * ev.k_perp + ev.k_par) / dim),
            by_distance(lambda ev: ((dim - 1) * ev.g_perp + ev.g_par) / dim),
            np.column_stack([np.bincount(rank, weights=v, minlength=BINS) for v in virials]),
            by_distance(lambda ev: ev.amplitudes.C2),
        ]
    )


def _virial(ev: brackets.Evaluation, pairs: Pairs) -> np.ndarray:
    """1/(2 D) sum_j r_ij f_ij of every particle: its share of the pressure times the volume."""
    push = dot(brackets.pair_force(ev), pairs.e)
    return np.asarray(pairs.sum_symmetric(pairs.r * push).numpy() / (2 * pairs.e.shape[1]))

"""The learned functions as curves with units and bands."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from scipy.stats import norm
from torch import Tensor

from colloidlab.model import brackets
from colloidlab.model.laws import Laws
from colloidlab.model.pairs import Pairs, pair_kind
from colloidlab.model.scores import free_parameters
from colloidlab.model.species import count_species
from colloidlab.model.strain import unstrained
from colloidlab.model.tensors import dot, float64
from colloidlab.model.uncertainty import Uncertainty
from colloidlab.units import Calibration

_POINTS = 80
_LEVEL = 0.95


@dataclass(frozen=True)
class _Curve:
    """One function; `y` still knows the parameters and the state that it comes from.

    What is `signed` might have either sign in other laws of the class. `species`: of which pair, in a mixture.
    """

    quantity: str
    x: np.ndarray
    y: Tensor
    x_unit: str
    y_unit: str
    factor: float
    signed: bool = False
    species: str = ""


@dataclass(frozen=True)
class _State:
    """The typical state, two numbers by which it may be moved, and V over its range.

    Attributes
    ----------
    entropy, log_volume : tensor, shape ()
        Zero, added to S and ln V: leaves for derivatives.
    S, V : tensor, shape (1,)
    range : tensor, shape (n_points,)
    """

    entropy: Tensor
    log_volume: Tensor
    S: Tensor
    V: Tensor
    range: Tensor


def learned_functions(
    laws: Laws,
    temperature: float,
    volumes: np.ndarray,
    calibration: Calibration,
    uncertainty: Uncertainty | None = None,
    *,
    n_dims: int,
    species: Sequence[str] = (),
    sizes: Sequence[float] = (),
) -> pd.DataFrame:
    """Kernel, force, potential, friction, noise against distances that occur; pressure against density.

    Of a mixture every kind of pair has its own, in the order of `pairs.pair_kind`, and the pressure is common.

    | quantity | of a pair in the typical state |
    |---|---|
    | `pair_force` | F/m along e: of volume and pair potential; a solid's shear is not of pairs |
    | `pair_potential` | Phi/m, where the laws have one |
    | `pair_friction_...` | Gamma/m across and along e, the Itô terms of v included |
    | `pair_noise_...` | 2 k_B K/m^2 across and along e: variance of the kicks of v per unit time |

    They are what `brackets` says of such a pair.

    Bands are pointwise 95 % intervals by the delta method, on the logarithm where a function can only be positive. They
    follow the typical state: other laws would give the same motion another temperature and volume. What the covariance
    holds and what not is said in `uncertainty`.

    Parameters
    ----------
    laws : Laws
    temperature : float, px^2/frame^2
        Temperature at which they are drawn (the median of the recording).
    volumes : float array
        Volumes V seen in the recording; the pressure is drawn over their central 98 %.
    calibration : Calibration
    uncertainty : Uncertainty, optional
        Without it the bands are NaN.
    n_dims : int
        2 or 3, those of the motion: how much of the noises A and B falls along e depends on it.
    species : sequence of str, optional
        Names of the species of a mixture [their numbers].
    sizes : sequence of float, optional
        Mean radius of each over that of all, for the cutoffs of their pairs [1].

    Returns
    -------
    DataFrame
        Long form as `functions.parquet`.
    """
    state = _typical_state(laws, temperature, volumes)
    rows = []
    nearest = 0.3 if uncertainty is None else uncertainty.nearest
    curves = [
        curve
        for kind in _kinds(laws, species, sizes)
        for curve in _pair_curves(laws, state, nearest, calibration, n_dims, kind)
    ]
    for curve in [*curves, _pressure(laws, state, calibration)]:
        y = curve.y.detach().numpy()
        low, high = _band(y, _deviation(curve.y, laws, state, uncertainty), signed=curve.signed)
        for x, *values in zip(curve.x, y, low, high, strict=True):
            rows.append(
                (
                    curve.quantity,
                    curve.species,
                    float(x),
                    *(float(v) * curve.factor for v in values),
                    curve.x_unit,
                    curve.y_unit,
                )
            )
    return pd.DataFrame(
        rows, columns=["quantity", "species", "x", "y", "y_low", "y_high", "x_unit", "y_unit"]
    )


def bath_constants(
    laws: Laws, uncertainty: Uncertainty | None = None
) -> dict[str, tuple[float, float, float]]:
    """Drag gamma/m (1/frame) and k_B T_b/m (px^2/frame^2) of a bath, each with its 95 % interval.

    Intervals are NaN where nothing is known of them; that of a temperature which was given is the temperature.

    Parameters
    ----------
    laws : Laws
        With a bath.
    uncertainty : Uncertainty, optional
    """
    bath = laws.bath
    assert bath is not None
    found = {}
    for name, parameter, unit in (
        ("friction", bath.log_friction, laws.mass),
        ("temperature", bath.log_temperature, laws.mass / laws.k_B),
    ):
        (found[name],) = _exponentials(laws, parameter, uncertainty, unit)
    return found


def mass_ratios(laws: Laws, uncertainty: Uncertainty | None = None) -> list[tuple[float, float, float]]:
    """Masses of the species of a mixture over that of the first, each with its 95 % interval, NaN where it is not known.

    Parameters
    ----------
    laws : Laws
        With `SpeciesMasses`.
    uncertainty : Uncertainty, optional
    """
    return [(1.0, 1.0, 1.0), *_exponentials(laws, laws.inertia.log_ratios, uncertainty)]


def shear_modulus(laws: Laws, uncertainty: Uncertainty | None = None) -> tuple[float, float, float]:
    """g/m of the shear energy U = g I of a solid, (px/frame)^2, and its 95 % interval, NaN where it is not known.

    It is what shear of the neighbourhood costs beside the work against the pressure: g I is g gamma^2/2 at a shear gamma, so
    that g is a modulus times the area of a particle.

    Parameters
    ----------
    laws : Laws
        With `PowerLawShear`, of which the first term counts.
    uncertainty : Uncertainty, optional
    """
    return _exponentials(laws, laws.shear.log_moduli, uncertainty, laws.mass)[0]


def _exponentials(
    laws: Laws, logarithms: Tensor, uncertainty: Uncertainty | None, unit: float = 1.0
) -> list[tuple[float, float, float]]:
    """exp of each of a parameter's numbers, over the unit, with its 95 % interval."""
    # Laws from a file have no free parameters, and come without uncertainty.
    values = (logarithms.detach().exp() / unit).reshape(-1).numpy()
    variances, first = np.full(len(values), np.nan if uncertainty is None else 0.0), 0
    for free in free_parameters(laws):
        if free is logarithms and uncertainty is not None:
            block = slice(first, first + free.numel())
            variances = uncertainty.covariance.diagonal()[block].numpy()
        first += free.numel()
    low, high = _band(values, values * np.sqrt(variances))
    return [(float(v), float(a), float(b)) for v, a, b in zip(values, low, high, strict=True)]


def _typical_state(laws: Laws, temperature: float, volumes: np.ndarray) -> _State:
    entropy, log_volume = float64(0.0).requires_grad_(True), float64(0.0).requires_grad_(True)
    V = float64([float(np.median(volumes))])
    with torch.no_grad():
        S = laws.energy.entropy(float64([temperature]), V)
    low, high = np.percentile(volumes, [1, 99])
    seen = float64(np.linspace(low, high, _POINTS).tolist())
    return _State(entropy, log_volume, S + entropy, V * log_volume.exp(), seen * log_volume.exp())


@dataclass(frozen=True)
class _Kind:
    """A kind of pair: its number, none where there is one species, its name, and its cutoff over the common one."""

    number: int | None = None
    name: str = ""
    scale: float = 1.0


def _kinds(laws: Laws, species: Sequence[str], sizes: Sequence[float]) -> list[_Kind]:
    n = count_species(laws)
    if n == 1:
        return [_Kind()]
    names, size = species or [str(k) for k in range(n)], sizes or [1.0] * n
    return [
        _Kind(
            pair_kind(a, b),
            f"{names[a]} + {names[b]}",
            0.5 * (size[a] + size[b]),
        )
        for b in range(n)
        for a in range(b + 1)
    ]


def _pair_curves(
    laws: Laws,
    state: _State,
    nearest: float,
    calibration: Calibration,
    n_dims: int,
    kind: _Kind,
) -> list[_Curve]:
    r = np.linspace(nearest, 1.0, _POINTS) * laws.cutoff * kind.scale
    ev = _evaluate_pairs(laws, state, r, n_dims, kind)
    e, m = ev.pairs.e, laws.mass
    distance, length = r * calibration.factor(1), calibration.unit(1)

    def radial(quantity: str, y: Tensor, *power: int, signed: bool = False) -> _Curve:
        unit, factor = (calibration.unit(*power), calibration.factor(*power)) if power else ("", 1.0)
        return _Curve(quantity, distance, y, length, unit, factor, signed, kind.name)

    attracts = ev.potential is not None

    found = [
        radial("kernel", ev.kernel.w),
        radial("pair_force", dot(brackets.pair_force(ev), e) / m, 1, -2, signed=attracts),
    ]
    if ev.potential is not None:
        found.append(radial("pair_potential", ev.potential.u / m, 2, -2, signed=True))
    for name, friction, noise in (
        ("perpendicular", ev.g_perp, ev.k_perp),
        ("parallel", ev.g_par, ev.k_par),
    ):
        found.append(radial(f"pair_friction_{name}", friction / m, 0, -1))
        found.append(radial(f"pair_noise_{name}", 2 * laws.k_B * noise / m**2, 2, -3))
    return found


def _pressure(laws: Laws, state: _State, calibration: Calibration) -> _Curve:
    pressure = laws.energy(state.S.expand_as(state.range), state.range).P
    density = 1 / state.range.detach().numpy()
    return _Curve(
        "pressure", density, pressure, "density / W(0)", calibration.unit(2, -2), calibration.factor(2, -2)
    )


def _evaluate_pairs(
    laws: Laws, state: _State, r: np.ndarray, n_dims: int, kind: _Kind
) -> brackets.Evaluation:
    """What the brackets say of pairs of a kind at distances r whose particles are both in the typical state."""
    n = len(r)
    one, two = torch.arange(n), torch.arange(n, 2 * n)
    distance = float64(r.tolist())
    h = torch.full_like(distance, laws.cutoff * kind.scale)
    x = distance / h
    e = torch.eye(n_dims, dtype=distance.dtype)[:1].expand(n, n_dims)
    kinds = None if kind.number is None else torch.full_like(one, kind.number)
    V = state.V.expand(2 * n)
    strain = None if laws.shear is None else unstrained(2 * n, n_dims, V)
    pairs = Pairs(i=one, j=two, e=e, r=distance, x=x, h=h, n=2 * n, kind=kinds, strain=strain)
    return brackets.evaluate(laws, pairs, state.S.expand(2 * n), volume=lambda _: V)


def _deviation(y: Tensor, laws: Laws, state: _State, uncertainty: Uncertainty | None) -> np.ndarray:
    """Standard deviation of every value of a curve; NaN when nothing is known of it."""
    if uncertainty is None:
        return np.full(len(y), np.nan)
    if not y.requires_grad:
        # A kernel without coefficients is known.
        return np.zeros(len(y))
    leaves = [*free_parameters(laws), state.entropy, state.log_volume]
    one = torch.eye(len(y), dtype=y.dtype)
    found = torch.autograd.grad(y, leaves, one, retain_graph=True, is_grads_batched=True, allow_unused=True)
    *parts, entropy, log_volume = (
        one.new_zeros(len(y), leaf.numel()) if g is None else g.reshape(len(y), -1)
        for g, leaf in zip(found, leaves, strict=True)
    )
    slope = (
        torch.cat(parts, dim=1)
        + entropy * uncertainty.entropy_response
        + log_volume * uncertainty.log_volume_response
    )
    return torch.einsum("np,pq,nq->n", slope, uncertainty.covariance, slope).clamp_min(0).sqrt().numpy()


def _band(y: np.ndarray, deviation: np.ndarray, *, signed: bool = False) -> tuple[np.ndarray, np.ndarray]:
    reach = norm.ppf(0.5 + _LEVEL / 2) * deviation
    if signed or (y < 0).any():
        return y - reach, y + reach
    factor = np.exp(np.divide(reach, y, out=np.where(np.isfinite(reach), 0.0, np.nan), where=y > 0))
    return y / factor, y * factor

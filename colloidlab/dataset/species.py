"""Which species every track is of: as the tracks say, or by size."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.cluster.vq import kmeans2

from colloidlab.errors import FitRefused, InputError

COLUMN = "species"
"""Of the tracks, where something else has told the particles apart."""

MOST = 3
"""Species that a fit tells apart."""

_APART = 2.5
"""Distance of two groups of sizes over the sum of their deviations, at the least: halves of one normal distribution have
1.3, those of a uniform one 1.7."""
_LEAST_DEVIATION = 0.01
"""Of ln R: what is nearer than that is of one size."""
_LEAST_SHARE = 0.02
"""Of the tracks in each group: less is dust, or pairs that were taken for one particle."""


@dataclass(frozen=True)
class Species:
    """Species of a recording.

    Attributes
    ----------
    label : int64 array, shape (n_particles,)
        0, 1, ... of each track.
    names : tuple of str
        What the tracks call them, in order; of species by size their mean radius.
    """

    label: np.ndarray
    names: tuple[str, ...]


def tell_apart(table: pd.DataFrame, code: np.ndarray, radius: np.ndarray, n_species: int) -> Species:
    """Label the tracks.

    Parameters
    ----------
    table : DataFrame
        Of tracks; its column `species`, where there is one, holds any names or numbers.
    code : int array, shape (n_rows,)
        Number of the track of each row.
    radius : float array, shape (n_particles,), px
    n_species : int
        2 or more.

    Raises
    ------
    InputError
        The column has other than `n_species` names, or a track with none or several.
    FitRefused
        There is no column, and the radii do not fall into so many groups.
    """
    if COLUMN in table:
        return _as_told(table, code, n_species)
    if "radius_px" in table:
        known = np.bincount(code, np.isfinite(table["radius_px"].to_numpy(dtype=float)), len(radius)) > 0
        if known.any() and not known.all():
            raise FitRefused(
                f"{int((~known).sum())} of {len(known)} tracks have no radius, and could be of any species; give the tracks "
                f"a column {COLUMN}, leave out those without radius, or give --species 1"
            )
    return _by_size(radius, n_species)


def seem_mixed(table: pd.DataFrame, radius: np.ndarray) -> str:
    """Why particles that are taken for one species may be of several, as the start of a sentence; empty without a sign.

    Laws of one species take for a temperature what tells the others apart.
    """
    if COLUMN in table and len(names := table[COLUMN].dropna().unique()) > 1:
        return f"the tracks name {len(names)} species"
    try:
        small, large = _by_size(radius, 2).names
    except FitRefused:
        return ""
    return f"the radii of the particles fall into two groups, of {small} and {large}"


def _as_told(table: pd.DataFrame, code: np.ndarray, n_species: int) -> Species:
    told, particle = table[COLUMN], table["particle"].to_numpy()
    told = told.mask(told.astype(str).str.strip() == "")
    # A position that was added by hand has no name, but its track has.
    number, names = pd.factorize(told.to_numpy(), sort=True)
    label = np.full(int(code.max()) + 1, -1)
    np.maximum.at(label, code, number)
    if (label < 0).any():
        raise InputError(
            f"the column {COLUMN} of the tracks is empty for particle {particle[label[code] < 0][0]}; give every track a "
            "species, or leave the column out to go by size"
        )
    if len(names) != n_species:
        listed = ", ".join(map(str, names[:5]))
        if len(names) == 1:
            raise InputError(
                f"the column {COLUMN} of the tracks names one species only, {listed}; give --species 1"
            )
        remedy = f"give --species {len(names)}" if len(names) <= MOST else f"name at most {MOST}"
        raise InputError(
            f"the column {COLUMN} of the tracks names {len(names)} species ({listed}), and the fit was to tell {n_species} "
            f"apart; {remedy}"
        )
    mixed = (number >= 0) & (number != label[code])
    if mixed.any():
        raise InputError(
            f"particle {particle[mixed][0]} of the tracks is of two species; a track has one: correct the column {COLUMN}, "
            "or cut the track where the names change"
        )
    return Species(label.astype(np.int64), tuple(str(name) for name in names))


def _by_size(radius: np.ndarray, n_species: int) -> Species:
    """Groups of ln R, by the means that are nearest, smallest first."""
    size = np.log(radius)
    otherwise = (
        f"give the tracks a column {COLUMN}, or --species 1: sizes as such are taken into account without it"
    )
    if np.ptp(size) < _LEAST_DEVIATION:
        raise FitRefused(
            f"the tracks have no radii by which {n_species} species could be told apart; {otherwise}"
        )
    start = np.quantile(size, (np.arange(n_species) + 0.5) / n_species)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of an empty group, which is refused below
        _, label = kmeans2(size[:, None], start[:, None], minit="matrix", iter=100)
    groups = [size[label == k] for k in range(n_species)]
    if min(map(len, groups)) < max(_LEAST_SHARE * len(size), 1):
        counts = " and ".join(str(len(g)) for g in groups)
        raise FitRefused(
            f"the radii of the particles do not fall into {n_species} groups that count ({counts} tracks); {otherwise}"
        )
    means, deviations = (np.array([of(g) for g in groups]) for of in (np.mean, np.std))
    deviations = np.maximum(deviations, _LEAST_DEVIATION)
    if not (np.diff(means) >= _APART * (deviations[1:] + deviations[:-1])).all():
        raise FitRefused(
            f"the radii of the particles do not fall into {n_species} groups (means {_listed(np.exp(means))} px with "
            f"deviations of {_listed(100 * deviations)} %); {otherwise}"
        )
    return Species(label.astype(np.int64), tuple(f"{r:.4g} px" for r in np.exp(means)))


def _listed(values: np.ndarray) -> str:
    return ", ".join(f"{v:.3g}" for v in values)

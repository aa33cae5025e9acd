"""Which species every track is of: as the tracks say, or by size."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.cluster.vq import kmeans2

from colloidlab.errors import FitRefused, InputError

COLUMN = "species"
"""Of the tracks, where something else has told the particles apart."""

_APART = 2.5
"""Distance of two groups of sizes over the sum of their deviations, at the least: halves of one normal distribution have
1.3, those of a uniform one 1.7."""


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
    return _by_size(radius, n_species)


def _as_told(table: pd.DataFrame, code: np.ndarray, n_species: int) -> Species:
    told, particle = table[COLUMN].to_numpy(), table["particle"].to_numpy()
    nameless = pd.isna(told)
    if nameless.any():
        raise InputError(
            f"the column {COLUMN} of the tracks is empty for particle {particle[nameless][0]}; give every row a species, or "
            "leave the column out to go by size"
        )
    number, names = pd.factorize(told, sort=True)
    if len(names) != n_species:
        raise InputError(
            f"the column {COLUMN} of the tracks names {len(names)} species ({', '.join(map(str, names[:5]))}), and the fit "
            f"was to tell {n_species} apart; give --species {len(names)}"
            if len(names) > 1
            else f"the column {COLUMN} of the tracks names one species only, {names[0]}; leave --species out"
        )
    first = np.unique(code, return_index=True)[1]
    label = number[first].astype(np.int64)
    mixed = number != label[code]
    if mixed.any():
        raise InputError(
            f"particle {particle[mixed][0]} of the tracks is of two species; a track has one: correct the column {COLUMN}, "
            "or cut the track where the names change"
        )
    return Species(label, tuple(str(name) for name in names))


def _by_size(radius: np.ndarray, n_species: int) -> Species:
    """Groups of ln R, by the means that are nearest, smallest first."""
    size = np.log(radius)
    if len(np.unique(size)) < n_species:
        raise FitRefused(
            f"the tracks have no radii by which {n_species} species could be told apart; give them a column {COLUMN}, or "
            "leave --species out"
        )
    start = np.quantile(size, (np.arange(n_species) + 0.5) / n_species)
    _, label = kmeans2(size[:, None], start[:, None], minit="matrix", iter=100)
    groups = [size[label == k] for k in range(n_species)]
    means, deviations = (np.array([of(g) if len(g) else np.nan for g in groups]) for of in (np.mean, np.std))
    apart = np.diff(means) / np.maximum(deviations[1:] + deviations[:-1], 1e-9)
    if not (apart >= _APART).all():
        raise FitRefused(
            f"the radii of the particles do not fall into {n_species} groups (means {_listed(np.exp(means))} px with "
            f"deviations of {_listed(100 * deviations)} %); give the tracks a column {COLUMN}, or leave --species out: "
            "sizes as such are taken into account without it"
        )
    return Species(label.astype(np.int64), tuple(f"{r:.3g} px" for r in np.exp(means)))


def _listed(values: np.ndarray) -> str:
    return ", ".join(f"{v:.3g}" for v in values)

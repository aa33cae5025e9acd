"""What particles can be coloured by: title, unit, colour map, limits and uncertainty of every column."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from colloidlab.errors import InputError
from colloidlab.report.maps import linear_scale, signed_scale
from colloidlab.report.style import MAPS
from colloidlab.report.words import label
from colloidlab.tables import COLUMNS

DERIVED = {
    "sigma_px": ("localisation error", "px"),
    "error_px": ("distance to the experiment", "px"),
    "mean_error_px": ("distance of the ensemble's mean to the experiment", "px"),
    "spread_px": ("spread of the ensemble per axis", "px"),
    "displacement_px": ("displacement", "px"),
    "temperature_low_px2": ("temperature, lower 95 % limit", "px^2/frame^2"),
    "temperature_high_px2": ("temperature, upper 95 % limit", "px^2/frame^2"),
    "track_length": ("length of the track", "frames"),
    "track_gaps": ("gaps of the track", "frames"),
    "track_ambiguity": ("ambiguity of the track", ""),
}
"""Title and unit of columns that are made here, beside those of `tables.COLUMNS`."""

_TITLES = {
    "temperature_px2": "temperature",
    "d2min_px2": "D²min",
    "psi6": "ψ6",
    "psi6_error": "error of ψ6",
    "sigma_ln_temperature": "σ of ln T",
    "sigma_entropy": "σ of entropy",
    "d2min_error_px2": "error of D²min",
    "hop_px2": "p_hop",
    "voronoi_area_px2": "Voronoi area",
    "local_density_per_px2": "local density",
}
_UNCERTAINTY = {
    "temperature_px2": "sigma_ln_temperature",
    "entropy": "sigma_entropy",
    "psi6": "psi6_error",
    "d2min_px2": "d2min_error_px2",
    "strain_xx": "strain_xx_error",
    "strain_xy": "strain_xy_error",
    "strain_yy": "strain_yy_error",
    "hop_px2": "hop_error_px2",
}
_LEARNED = {
    "entropy",
    "temperature_px2",
    "sigma_ln_temperature",
    "sigma_entropy",
    "temperature_low_px2",
    "temperature_high_px2",
}
_SIGNED = ("strain_x", "strain_y", "strain_z", "cage_d", "flow_residual_d", "vx_", "vy_")
_MAPS = {
    "d2min": "d2min",
    "hop": "d2min",
    "error": "speed",
    "mean_error": "speed",
    "temperature": "temperature",
    "entropy": "entropy",
    "psi6": "psi6",
    "displacement": "speed",
}


@dataclass(frozen=True)
class Quantity:
    """One column by which particles are coloured.

    Parameters
    ----------
    column : str
    title, unit : str
        For people; the unit as in `tables.COLUMNS`.
    meaning : str
    colours : str
        Name of a matplotlib colour map.
    signed : bool
        Limits are symmetric about zero.
    period : float or None
        Of an angle: values that differ by it mean the same, so that they are averaged on the circle and have
        the same colour.
    uncertainty : str or None
        Column with its standard deviation, where there is one.
    learned : bool
        A result of the fit, which may find that a recording does not determine it.
    """

    column: str
    title: str
    unit: str
    meaning: str
    colours: str
    signed: bool
    uncertainty: str | None
    learned: bool
    period: float | None = None

    @property
    def label(self) -> str:
        """Title and unit, as on an axis."""
        return label(self.title, self.unit)


def describe(column: str) -> Quantity:
    """What is known of a column; columns that nobody knows keep their name.

    >>> describe("d2min_px2").label
    'D²min (px²)'
    >>> describe("psi6_angle_rad").label
    'psi6 angle (rad)'
    """
    known = COLUMNS.get(column)
    title, unit = DERIVED.get(column, ("", known.unit if known else ""))
    signed = column.startswith(_SIGNED) and not column.endswith("_error")
    period = _period(column)
    kind = next((kind for stem, kind in _MAPS.items() if column.startswith(stem)), "")
    colours = MAPS["strain"] if signed else MAPS.get(kind, MAPS["speed"])
    return Quantity(
        column=column,
        title=_TITLES.get(column) or title or re.sub(r"_(px2?|rad)$", "", column).replace("_", " "),
        unit=unit,
        meaning=known.meaning if known else title,
        colours=colours if period is None else MAPS["angle"],
        signed=signed,
        uncertainty=_UNCERTAINTY.get(column),
        learned=column in _LEARNED,
        period=period,
    )


def colourable(table: pd.DataFrame) -> list[str]:
    """Columns of a table that hold numbers and are no index, in its order."""
    skipped = {"frame", "particle", "x", "y", "z", "t_s", "x_um", "y_um", "z_um"}
    return [
        c
        for c in table.columns
        if c not in skipped and pd.api.types.is_numeric_dtype(table[c]) and table[c].notna().any()
    ]


def limits(values: Any, quantity: Quantity) -> tuple[float, float]:
    """Colour limits from the 1st to the 99th percentile; symmetric about zero for signed quantities.

    The whole period for an angle, so that both ends of a cyclic colour map mean the same; (0, 1) where no value
    is known.
    """
    if quantity.period is not None:
        return -quantity.period / 2, quantity.period / 2
    scale = signed_scale if quantity.signed else linear_scale
    try:
        norm = scale(np.asarray(values, dtype=np.float64), quantity.title)
    except InputError:
        return 0.0, 1.0
    return float(norm.vmin or 0.0), float(norm.vmax or 0.0)


def _period(column: str) -> float | None:
    """Full turn of an angle, rad: an n-fold bond order is the same after 1/n of a turn."""
    fold = re.fullmatch(r"psi(\d+)_angle_rad", column)
    return 2 * np.pi / int(fold[1]) if fold else None

"""How well each position is known: the standard deviations that locating wrote beside it."""

from __future__ import annotations

import numpy as np
import pandas as pd

from colloidlab.errors import InputError
from colloidlab.indicators.trajectories import Floats


def localisation_sigma(tracks: pd.DataFrame, sigma_px: float | None = None) -> Floats:
    """Standard deviation of the localisation error of every row and axis.

    Parameters
    ----------
    tracks : DataFrame
        Columns x, y[, z], and sigma_x_px, sigma_y_px[, sigma_z_px] where known.
    sigma_px : float, optional
        Taken for all axes where a column is absent or empty.

    Returns
    -------
    sigma : float array, shape (n_rows, D), px
        NaN where it is not known.

    Raises
    ------
    InputError
        A standard deviation is negative.
    """
    if sigma_px is not None and not sigma_px >= 0:
        raise InputError(f"the localisation error is {sigma_px} px; it must be zero or larger")
    axes = ["x", "y"] + (["z"] if "z" in tracks.columns else [])
    sigma = np.full((len(tracks), len(axes)), np.nan if sigma_px is None else float(sigma_px))
    for d, axis in enumerate(axes):
        name = f"sigma_{axis}_px"
        if name in tracks.columns:
            stated = tracks[name].to_numpy(dtype=np.float64)
            if (stated < 0).any():
                raise InputError(f"column {name} holds {np.nanmin(stated):g}; an error is zero or larger")
            sigma[:, d] = np.where(np.isfinite(stated), stated, sigma[:, d])
    return sigma

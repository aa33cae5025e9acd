"""How far each track can be trusted."""

from __future__ import annotations

import numpy as np
import pandas as pd

from colloidlab.errors import InputError


def track_quality(tracks: pd.DataFrame) -> pd.DataFrame:
    """Length, gaps, ambiguity and localisation error of every track.

    Parameters
    ----------
    tracks : DataFrame
        Columns frame, particle; link_margin as `link_automatically` gives it, and sigma_x_px, sigma_y_px
        where there are any.

    Returns
    -------
    DataFrame
        One row a track, sorted by particle:

        - particle, first_frame, last_frame
        - length: sightings
        - gaps: frames between the first and the last in which the particle was not seen
        - ambiguity: likelihood of the best alternative to the least certain link relative to the likelihood
          of what was chosen, exp(-least link_margin); 1 is a toss-up, 0 is certain; NaN for a track of one
          sighting or without margins
        - sigma_px: median localisation error per axis, NaN where it is not known

    Raises
    ------
    InputError
        No column frame or particle.
    """
    missing = [c for c in ("frame", "particle") if c not in tracks]
    if missing:
        raise InputError(f"the tracks have no column {', '.join(missing)}; link the features first")
    absent = pd.Series(np.nan, index=tracks.index)
    margin = tracks.get("link_margin", absent)
    sigmas = [tracks[c] for c in ("sigma_x_px", "sigma_y_px") if c in tracks]
    # Root mean square of the axes, sighting by sighting.
    sigma = (sum(s**2 for s in sigmas) / len(sigmas)) ** 0.5 if sigmas else absent
    by_track = (
        pd.DataFrame(
            {"particle": tracks["particle"], "frame": tracks["frame"], "margin": margin, "sigma": sigma}
        )
        .groupby("particle")
        .agg(
            first_frame=("frame", "min"),
            last_frame=("frame", "max"),
            length=("frame", "size"),
            margin=("margin", "min"),
            sigma_px=("sigma", "median"),
        )
    )
    gaps = by_track["last_frame"] - by_track["first_frame"] + 1 - by_track["length"]
    by_track.insert(3, "gaps", gaps)
    by_track.insert(4, "ambiguity", np.exp(-by_track["margin"]))
    return by_track.drop(columns="margin").reset_index()

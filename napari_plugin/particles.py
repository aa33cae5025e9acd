"""The one table of a run: a row for every frame and particle, with everything that is known of it."""

from __future__ import annotations

import numpy as np
import pandas as pd

from colloidlab.run import Run

NEW = -1
"""Particle of a position that somebody has added and nobody has numbered."""

_NORMAL_95 = 1.959964


def particle_table(run: Run) -> pd.DataFrame:
    """Tracks, indicators, learned state and quality of a run, side by side.

    Returns
    -------
    DataFrame
        The rows of `tracks.parquet` in their order. Further columns, where they are
        there: those of the indicators and of the learned state; `sigma_px`, root mean square of the
        localisation errors; `temperature_low_px2, temperature_high_px2`, 95 % limits; and of the track,
        `track_length, track_gaps, track_ambiguity`.

    Raises
    ------
    InputError
        The run has no tracks, or a table is damaged.
    """
    run.require("track")
    table = run.read_table("tracks")
    table.attrs.clear()
    sigmas = [table[c] ** 2 for c in ("sigma_x_px", "sigma_y_px") if c in table]
    if sigmas:
        table["sigma_px"] = np.sqrt(sum(sigmas) / len(sigmas))
    if run.has("indicators.parquet"):
        table = _beside(table, run.read_table("indicators"))
    if run.has("state.parquet"):
        table = _beside(table, run.read_table("state"))
    if {"temperature_px2", "sigma_ln_temperature"} <= set(table):
        factor = np.exp(_NORMAL_95 * table["sigma_ln_temperature"])
        table["temperature_low_px2"] = table["temperature_px2"] / factor
        table["temperature_high_px2"] = table["temperature_px2"] * factor
    quality = run.read_table("quality").set_index("particle")[["length", "gaps", "ambiguity"]]
    table = table.join(quality.add_prefix("track_"), on="particle")
    return _plain(table)


def is_identified(run: Run) -> bool:
    """Does the fit say that the recording determines temperature and entropy?"""
    return run.summary.get("temperature_identified") is True


def _beside(table: pd.DataFrame, more: pd.DataFrame) -> pd.DataFrame:
    """`more`'s columns that are new, at the same frame and particle; the rows of `table` stay as they are."""
    keys = ["frame", "particle"]
    more.attrs.clear()
    new = [c for c in more.columns if c not in table.columns]
    return table.merge(more[[*keys, *new]], on=keys, how="left", validate="one_to_one")


def _plain(table: pd.DataFrame) -> pd.DataFrame:
    """Truth values and counts as numbers: NaN where a particle has none, and something to colour by."""
    plain = {}
    for name in table.columns:
        values = table[name]
        truth = pd.api.types.is_bool_dtype(values) or (
            values.dtype == object and values.dropna().isin([True, False]).all()
        )
        if truth or isinstance(values.dtype, pd.Int64Dtype):
            plain[name] = values.astype("float64")
    return table.assign(**plain)

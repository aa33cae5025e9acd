"""Everything that `colloidlab track` says about structure and motion, from the tracks alone."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from colloidlab.config import IndicatorsConfig
from colloidlab.errors import InputError
from colloidlab.indicators.bond_order import Region, psi6_table
from colloidlab.indicators.curve import Curve
from colloidlab.indicators.displacement import msd, vacf
from colloidlab.indicators.drift import Drift, mean_drift
from colloidlab.indicators.lag import default_lag
from colloidlab.indicators.nonaffine import d2min_table
from colloidlab.indicators.radial import pair_correlation
from colloidlab.indicators.shells import first_minimum, first_peak
from colloidlab.indicators.stride import free_diffusion
from colloidlab.indicators.trajectories import snapshots, trajectories
from colloidlab.progress import SILENT, Monitor
from colloidlab.units import Calibration

INDICATOR_COLUMNS = (
    "frame",
    "particle",
    "d2min_px2",
    "strain_xx",
    "strain_xy",
    "strain_yy",
    "n_neighbours",
    "psi6",
    "psi6_angle_rad",
)

_SHELLS = 10
"""g(r) is drawn out to this many mean spacings, where the view is large enough."""

_PAIRS_PER_BIN = 100
_LONGEST_LAG = 1000
_LAG_SHARE = 4
_FALLBACK_CUTOFF = 1.5


_NO_CURVES = Curve(*(np.zeros(0),) * 4, x_unit="", y_unit="").to_table("")


@dataclass(frozen=True)
class IndicatorResult:
    """Tables and headline numbers of the indicators.

    Parameters
    ----------
    table : DataFrame
        For indicators.parquet: one row for each row of the tracks. D²min and strain are
        NaN, and n_neighbours 0, where there is no reference frame.
    curves : DataFrame
        For curves.parquet: g_r, msd, vacf in calibrated units.
    summary : dict
        Keys of docs/run-folder.md, and `notes`: sentences on choices and on what could
        not be computed.
    """

    table: pd.DataFrame
    curves: pd.DataFrame
    summary: dict[str, Any]


@dataclass
class _Findings:
    """What has been found so far; a quantity that the data cannot give becomes a note."""

    summary: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    curves: list[pd.DataFrame] = field(default_factory=list)

    def skip(self, quantity: str, reason: InputError) -> None:
        self.notes.append(f"{quantity} was not computed: {reason}")


def compute(
    tracks: pd.DataFrame,
    calibration: Calibration,
    config: IndicatorsConfig,
    *,
    view: tuple[int, int],
    region: Region | None = None,
    monitor: Monitor = SILENT,
) -> IndicatorResult:
    """Rearrangement, order, structure and motion of a recording.

    The motion that all particles share (their mean displacement from frame to frame) is
    taken out of MSD, VACF and diffusion; strain and D²min are blind to it.

    Parameters
    ----------
    tracks : DataFrame
        Columns frame, particle, x, y in px; gaps and particles that come and go are fine.
    calibration : Calibration
    config : IndicatorsConfig
        Options left at None are estimated; the notes say how.
    view : (width, height)
        Of the image, px.
    region : (x0, y0, x1, y1), optional
        Region of interest, px [the whole view].
    monitor : Monitor

    Returns
    -------
    IndicatorResult

    Raises
    ------
    InputError
        The tracks lack a column, or have a particle twice in one frame. Too few particles
        or frames are not an error: see `notes`.
    """
    found = _Findings()
    seen = observed_region(tracks, region or (-0.5, -0.5, view[0] - 0.5, view[1] - 0.5))
    spacing, cutoff = _structure(tracks, calibration, config, seen, found, monitor)
    _motion(tracks, calibration, found, monitor)
    table = _rearrangement(tracks, config, spacing, cutoff, found, monitor)
    order = psi6_table(tracks, region=seen, monitor=monitor)
    if order["psi6"].notna().any():
        found.summary["psi6_mean"] = float(order["psi6"].mean())
    else:
        found.notes.append("psi6_mean is absent: no particle has all its neighbours inside the view")
    if "z" in tracks:
        found.notes.append(
            "the positions are three-dimensional: g(r), the spacing and psi6 are those of their projection on x and y"
        )
    table = order.merge(table, on=["frame", "particle"], how="left", validate="one_to_one")
    table["n_neighbours"] = table["n_neighbours"].fillna(0).astype("int64")
    curves = pd.concat(found.curves, ignore_index=True) if found.curves else _NO_CURVES
    return IndicatorResult(table[list(INDICATOR_COLUMNS)], curves, {**found.summary, "notes": found.notes})


def observed_region(tracks: pd.DataFrame, region: Region) -> Region:
    """Where centres are really found: the region less the margin in which a detector finds nothing.

    Each side moves in to the outermost position ever seen, but by no more than the mean
    spacing, so that a truly empty part of the view stays a part of it.
    """
    points = tracks[["x", "y"]].to_numpy(dtype=np.float64)
    points = points[np.isfinite(points).all(axis=1)]
    if points.shape[0] == 0:
        return region
    x0, y0, x1, y1 = region
    most = np.sqrt((x1 - x0) * (y1 - y0) * tracks["frame"].nunique() / points.shape[0])
    # A quarter of the side keeps a sensible region around one or two particles.
    inset_x, inset_y = min(most, (x1 - x0) / 4), min(most, (y1 - y0) / 4)
    low, high = points.min(axis=0), points.max(axis=0)
    return (
        float(np.clip(low[0], x0, x0 + inset_x)),
        float(np.clip(low[1], y0, y0 + inset_y)),
        float(np.clip(high[0], x1 - inset_x, x1)),
        float(np.clip(high[1], y1 - inset_y, y1)),
    )


def _structure(
    tracks: pd.DataFrame,
    calibration: Calibration,
    config: IndicatorsConfig,
    seen: Region,
    found: _Findings,
    monitor: Monitor,
) -> tuple[float, float]:
    """g(r); returns the neighbour spacing and the neighbour cutoff, px."""
    positions = [points[:, :2] for points in snapshots(tracks).positions]
    number = sum(p.shape[0] for p in positions)
    area = (seen[2] - seen[0]) * (seen[3] - seen[1])
    mean_spacing = float(np.sqrt(area * len(positions) / number)) if number else float(np.sqrt(area))
    curve: Curve | None = None
    try:
        r_max = min(_SHELLS * mean_spacing, 0.5 * min(seen[2] - seen[0], seen[3] - seen[1]))
        # Bins fine enough for the first shell, yet wide enough to hold pairs at the mean spacing.
        pairs_per_px = np.pi * number / mean_spacing
        width = np.clip(_PAIRS_PER_BIN / max(pairs_per_px, 1e-9), mean_spacing / 40, mean_spacing / 8)
        corners = (seen[:2], seen[2:])
        n_bins = max(int(r_max / width), 1)
        curve = pair_correlation(positions, r_max=r_max, n_bins=n_bins, region=corners, monitor=monitor)
        found.curves.append(curve.calibrated(calibration, x=(1, 0), y=(0, 0)).to_table("g_r"))
    except InputError as reason:
        found.skip("g(r)", reason)
    peak = first_peak(curve) if curve is not None else None
    cutoff = config.neighbour_cutoff_px
    if cutoff is None:
        cutoff = first_minimum(curve) if curve is not None else None
        if cutoff is None:
            cutoff = _FALLBACK_CUTOFF * mean_spacing
            found.notes.append(
                f"g(r) has no minimum after a first peak, so neighbours are within {_FALLBACK_CUTOFF} mean "
                f"spacings ({cutoff:.1f} px); set neighbour_cutoff_px to choose"
            )
    found.summary["neighbour_cutoff_px"] = float(cutoff)
    return peak or mean_spacing, float(cutoff)


def _motion(tracks: pd.DataFrame, calibration: Calibration, found: _Findings, monitor: Monitor) -> None:
    """MSD, VACF and diffusion, relative to the ensemble."""
    steps = trajectories(tracks)
    drift: Drift = "mean" if steps.n_tracks > 1 else "none"
    if drift == "none":
        found.notes.append("one particle alone cannot show a drift; none was taken out")
    elif np.isfinite(shift := mean_drift(steps)).all():
        text = ", ".join(f"{value:+.3g}" for value in shift)
        found.notes.append(
            f"the mean motion of all particles, ({text}) px/frame, was taken out of MSD, VACF and diffusion"
        )
    span = int(np.ptp(steps.frames)) + 1 if steps.frames.size else 0
    max_lag = int(np.clip(span // _LAG_SHARE, 1, _LONGEST_LAG))
    monitor.update("displacements", 0, 3)
    try:
        curve = msd(tracks, max_lag=max_lag, drift=drift)
        found.curves.append(curve.calibrated(calibration, x=(0, 1), y=(2, 0)).to_table("msd"))
    except InputError as reason:
        found.skip("the MSD", reason)
    monitor.update("displacements", 1, 3)
    try:
        curve = vacf(tracks, max_lag=max_lag, drift=drift)
        found.curves.append(curve.calibrated(calibration, x=(0, 1), y=(2, -2)).to_table("vacf"))
    except InputError as reason:
        found.skip("the VACF", reason)
    monitor.update("displacements", 2, 3)
    try:
        _summarise_diffusion(tracks, calibration, drift, found)
    except InputError as reason:
        found.skip("the diffusion coefficient", reason)
    monitor.update("displacements", 3, 3)


def _summarise_diffusion(
    tracks: pd.DataFrame, calibration: Calibration, drift: Drift, found: _Findings
) -> None:
    result = free_diffusion(tracks, drift=drift)
    estimate = result.estimate
    calibrated = calibration.um_per_px is not None and calibration.fps is not None
    key = "diffusion_um2_per_s" if calibrated else "diffusion_px2_per_frame"
    factor = calibration.factor(length=2, time=-1) if calibrated else 1.0
    found.summary[key] = estimate.d_px2_per_frame * factor
    if np.isfinite(estimate.d_error):
        found.summary[f"{key}_error"] = estimate.d_error * factor
    else:
        found.notes.append("the diffusion coefficient has no error: too few particles and frames")
    found.summary["localisation_error_px"] = estimate.sigma_px
    if not result.free:
        found.notes.append(
            f"displacements two frames apart are correlated ({result.memory:+.2f}): "
            "this is not free diffusion, and the diffusion coefficient and localisation error are only nominal"
        )
    elif result.stride_frames > 1:
        found.notes.append(
            f"successive frames are not independent (inertia, exposure, or video compression): the diffusion "
            f"coefficient is taken over {result.stride_frames} frames, where displacements have lost their memory"
        )


def _rearrangement(
    tracks: pd.DataFrame,
    config: IndicatorsConfig,
    spacing: float,
    cutoff: float,
    found: _Findings,
    monitor: Monitor,
) -> pd.DataFrame:
    lag = config.lag_frames
    if lag is None:
        choice = default_lag(tracks, spacing_px=spacing, cutoff_px=cutoff)
        lag = choice.lag_frames
        found.notes.append(f"D2min: {choice.reason}")
    found.summary["d2min_lag_frames"] = lag
    table = d2min_table(tracks, lag_frames=lag, cutoff_px=cutoff, monitor=monitor)
    if not table["d2min_px2"].notna().any():
        found.notes.append(
            f"D2min is nowhere known: nobody keeps three neighbours within {cutoff:.1f} px for {lag} frames"
        )
    return table

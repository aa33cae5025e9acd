"""What the quantities of a recording share: where particles are seen, who is a neighbour, and over which lag."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from colloidlab.config import IndicatorsConfig
from colloidlab.errors import InputError
from colloidlab.indicators.bond_order import Region
from colloidlab.indicators.curve import Curve
from colloidlab.indicators.drift import Drift
from colloidlab.indicators.lag import LagChoice, default_lag
from colloidlab.indicators.oscillation import Oscillation, find_oscillation
from colloidlab.indicators.radial import pair_correlation
from colloidlab.indicators.shells import first_minimum, first_peak
from colloidlab.indicators.trajectories import Floats, Snapshots, Trajectories, snapshots, trajectories
from colloidlab.indicators.triangulation import Triangulation, triangulate_tracks
from colloidlab.indicators.window import Corners
from colloidlab.progress import Monitor
from colloidlab.units import Calibration

_SHELLS = 10
"""g(r) is drawn out to this many mean spacings, where the view is large enough."""

_FEWEST_SHELLS = 3
_PAIRS_PER_BIN = 100
_LONGEST_LAG = 1000
_LAG_SHARE = 4
_FALLBACK_CUTOFF = 1.5


@dataclass
class Part:
    """What one quantity adds to the results.

    Attributes
    ----------
    columns : DataFrame, optional
        frame, particle and the quantity's own columns; rows may be absent.
    curves : list of (name, Curve)
        Calibrated.
    tables : dict
        Tables with rows of their own: events, flow, drive.
    summary : dict
        Entries of `summary.json`.
    notes : list of str
        Sentences on what was chosen or could not be done.
    """

    columns: pd.DataFrame | None = None
    curves: list[tuple[str, Curve]] = field(default_factory=list)
    tables: dict[str, pd.DataFrame] = field(default_factory=dict)
    summary: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


@dataclass
class Scene:
    """A recording and what was chosen for it; each choice is made once, when it is first needed.

    Parameters
    ----------
    tracks : DataFrame
        Columns frame, particle, x, y[, z] in px.
    calibration : Calibration
    config : IndicatorsConfig
    region : (x0, y0, x1, y1)
        Where centres are really found, px; see `observed_region`.
    monitor : Monitor
    """

    tracks: pd.DataFrame
    calibration: Calibration
    config: IndicatorsConfig
    region: Region
    monitor: Monitor

    @property
    def planar(self) -> bool:
        """False for three-dimensional positions."""
        return "z" not in self.tracks

    @cached_property
    def shots(self) -> Snapshots:
        """The tracks frame by frame."""
        return snapshots(self.tracks)

    @cached_property
    def paths(self) -> Trajectories:
        """The tracks particle by particle."""
        return trajectories(self.tracks)

    @cached_property
    def corners(self) -> Corners:
        """Lower and upper corner of what is seen; a stack is as deep as its particles lie."""
        x0, y0, x1, y1 = self.region
        if self.planar:
            return (x0, y0), (x1, y1)
        z = np.concatenate([points[:, 2] for points in self.shots.positions] or [np.zeros(1)])
        return (x0, y0, float(z.min())), (x1, y1, float(z.max()))

    @property
    def sides(self) -> Floats:
        """Of what is seen, px."""
        return np.subtract(self.corners[1], self.corners[0])

    @cached_property
    def mean_spacing(self) -> float:
        """Side of the square (the cube) that a particle has for itself, px."""
        number = sum(len(points) for points in self.shots.positions)
        space = float(np.prod(self.sides)) * max(len(self.shots.positions), 1) / max(number, 1)
        return float(max(space, 0.0) ** (1 / len(self.sides)))

    @property
    def r_max(self) -> float:
        """Largest distance of g(r) and of what is made from it, px."""
        side = float(self.sides.min())
        # In a thin slab half of its depth may end before the first shell does.
        reach = max(0.5 * side, min(_FEWEST_SHELLS * self.mean_spacing, 0.9 * side))
        return float(min(_SHELLS * self.mean_spacing, reach))

    @cached_property
    def pair_correlation(self) -> Curve | InputError:
        """g(r) in px; or why there is none."""
        try:
            r_max = self.r_max
            number = sum(len(points) for points in self.shots.positions)
            # Bins fine enough for the first shell, yet wide enough to hold pairs at the mean spacing.
            pairs_per_px = np.pi * number / max(self.mean_spacing, 1e-9)
            narrow, wide = self.mean_spacing / 40, self.mean_spacing / 8
            width = max(np.clip(_PAIRS_PER_BIN / max(pairs_per_px, 1e-9), narrow, wide), 1e-9)
            return pair_correlation(
                self.shots.positions,
                r_max=r_max,
                n_bins=max(int(r_max / width), 1),
                region=self.corners,
                monitor=self.monitor,
            )
        except InputError as reason:
            return reason

    @cached_property
    def spacing(self) -> float:
        """Distance of neighbours: the first peak of g(r), or else the mean spacing, px."""
        g = self.pair_correlation
        return (first_peak(g) if isinstance(g, Curve) else None) or self.mean_spacing

    @cached_property
    def cutoff(self) -> float:
        """Neighbours are closer than this, px: as asked, or the first minimum of g(r)."""
        if self.config.neighbour_cutoff_px is not None:
            return self.config.neighbour_cutoff_px
        return self.first_minimum or _FALLBACK_CUTOFF * self.mean_spacing

    @property
    def cutoff_note(self) -> str:
        """What to say where the cutoff had to be guessed; empty otherwise."""
        if self.config.neighbour_cutoff_px is not None or self.first_minimum:
            return ""
        return (
            f"g(r) has no minimum after a first peak, so neighbours are within {_FALLBACK_CUTOFF} mean "
            f"spacings ({self.cutoff:.1f} px); set neighbour_cutoff_px to choose"
        )

    @cached_property
    def triangulations(self) -> list[Triangulation]:
        """Of every frame.

        Raises
        ------
        InputError
            The positions are three-dimensional.
        """
        self.need_plane()
        return triangulate_tracks(self.tracks, region=self.region, monitor=self.monitor)

    def need_plane(self) -> None:
        """Raise where positions are three-dimensional."""
        if not self.planar:
            raise InputError("the positions are three-dimensional, and this is a quantity of the plane")

    @cached_property
    def first_minimum(self) -> float | None:
        """First minimum of g(r), px."""
        g = self.pair_correlation
        return first_minimum(g) if isinstance(g, Curve) else None

    @cached_property
    def lag_choice(self) -> LagChoice:
        """Lag over which rearrangement is looked for, and why; the reason is empty where it was asked for."""
        if self.config.lag_frames is not None:
            return LagChoice(self.config.lag_frames, "")
        if self.config.lag_period:
            if self.oscillation is None:
                raise InputError(
                    "the common motion is not periodic, so that there is no period to compare over; give lag_frames"
                )
            period = self.oscillation.period.frames
            return LagChoice(
                max(round(period), 1),
                f"lag of {round(period)} frames, the period of the drive being {period:.4g}",
            )
        return self._lag_of_cages

    @cached_property
    def _lag_of_cages(self) -> LagChoice:
        return default_lag(
            self.tracks, spacing_px=self.spacing, cutoff_px=self.cutoff, neighbours=self.config.neighbours
        )

    @property
    def cage_lag(self) -> int:
        """Frames in which cages begin to give way: the lag, but never the period of a drive."""
        return self.config.lag_frames or self._lag_of_cages.lag_frames

    @cached_property
    def oscillation(self) -> Oscillation | None:
        """The periodic part of the common motion; None where there is none, or where it cannot be known."""
        try:
            return find_oscillation(self.tracks, monitor=self.monitor)
        except InputError:
            return None

    @property
    def lag(self) -> int:
        """That lag, frames."""
        return self.lag_choice.lag_frames

    @property
    def drift(self) -> Drift:
        """Common motion that displacements are freed of; one particle alone cannot show any."""
        return self.config.drift if self.paths.n_tracks > 1 else "none"

    @property
    def longest_lag(self) -> int:
        """Of curves against time, frames."""
        frames = self.paths.frames
        span = int(np.ptp(frames)) + 1 if frames.size else 0
        return int(np.clip(span // _LAG_SHARE, 1, _LONGEST_LAG))


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

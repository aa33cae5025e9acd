"""Tracks as a recording that can be read window by window, with constant memory."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd

from colloidlab.dataset.reference_state import ReferenceState
from colloidlab.dataset.species import Species, seem_mixed, tell_apart
from colloidlab.errors import FitRefused, InputError, UsageError

EdgeDistance = Callable[..., np.ndarray]
"""(x, y[, z]) in px -> distance to the edge of the usable view, px, negative outside."""

GAP_SIGMA_PX = 1e3
"""Localisation error of a position that was interpolated across a gap or found in a bad frame: no information."""


def rectangle_edge_distance(x0: float, y0: float, x1: float, y1: float) -> EdgeDistance:
    """Distance to the nearest edge of the rectangle [x0, x1] x [y0, y1]."""

    def distance(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        return np.minimum(np.minimum(x - x0, x1 - x), np.minimum(y - y0, y1 - y))

    return distance


@dataclass(frozen=True)
class Recording:
    """Positions of all tracks, gaps filled, sorted by frame.

    Build it with `from_tracks`. Rows of a frame are `start[f] : start[f + 1]`.

    Attributes
    ----------
    first, stop : int
        Frames covered, stop excluded.
    start : int array, shape (stop - first + 1,)
    particle : int array, shape (n_rows,)
        Position of the track in `particles`.
    particles : int array
        Track identities as in the tracks table.
    position, sigma : float arrays, shape (n_rows, D), px
    observed : bool array, shape (n_rows,)
        False where the position was interpolated across a gap, and in bad frames.
    radius : float array, shape (n_particles,), px
    edge : float array, shape (n_rows,), px
        Distance to the edge of the usable view and of the tracked region.
    bad_frames : frozenset of int
        Frames that were missing or damaged; no motion across them is scored.
    box : float array, shape (D,), px, or None
        Periodic lengths of a simulation; positions go on beyond them, so that nobody jumps.
    sigma_stated : bool
        False where nothing is known of the localisation errors, and `sigma` is 0.
    sigma_new : bool
        False where errors of successive frames may have something in common, so that only a part of `sigma` is noise.
    species : Species, optional
        Where the laws are to tell some apart.
    seems_mixed : str
        Why they should, where they are not to; empty without a sign of it.
    reference : ReferenceState, optional
        Of a solid, numbered as `particles`; see `reference.find_reference`.
    """

    first: int
    stop: int
    start: np.ndarray
    particle: np.ndarray
    particles: np.ndarray
    position: np.ndarray
    sigma: np.ndarray
    observed: np.ndarray
    radius: np.ndarray
    edge: np.ndarray
    bad_frames: frozenset[int] = field(default_factory=frozenset)
    box: np.ndarray | None = None
    sigma_stated: bool = True
    sigma_new: bool = True
    species: Species | None = None
    seems_mixed: str = ""
    reference: ReferenceState | None = None

    @property
    def mean_radius(self) -> float:
        return float(self.radius.mean())

    @property
    def scale(self) -> np.ndarray:
        """Radius of each particle over the mean radius."""
        return self.radius / self.mean_radius

    @property
    def mean_scales(self) -> list[float]:
        """Mean of `scale` of every species; of none where none are told apart."""
        if self.species is None:
            return []
        label = self.species.label
        return (np.bincount(label, self.scale) / np.bincount(label)).tolist()

    def rows(self, frame: int) -> slice:
        k = frame - self.first
        return slice(int(self.start[k]), int(self.start[k + 1]))

    def until(self, stop: int) -> Recording:
        """The frames before `stop`. Radii, which are those of whole tracks, and edges remain."""
        start = self.start[: stop - self.first + 1]
        names = ("particle", "position", "sigma", "observed", "edge")
        return replace(
            self, stop=stop, start=start, **{name: getattr(self, name)[: start[-1]] for name in names}
        )


def from_tracks(
    tracks: pd.DataFrame,
    edge_distance: EdgeDistance | None,
    *,
    sigma_px: float | None = None,
    sigma_scale: float | None = 1.0,
    bad_frames: frozenset[int] = frozenset(),
    box: np.ndarray | None = None,
    n_species: int = 1,
) -> Recording:
    """Prepare linked tracks for learning.

    Gaps inside a track are filled by linear interpolation, marked as not observed. The
    distance to the edge is the smaller of the distance to the edge of the view and, where
    the particles do not fill the view, to the convex hull of all tracked positions.

    Parameters
    ----------
    tracks : DataFrame
        Columns frame, particle, x, y[, z]; sigma_x_px, sigma_y_px[, sigma_z_px], radius_px and species where known.
    edge_distance : callable
        See `EdgeDistance`; None in a periodic box.
    sigma_px : float, optional
        Localisation error for all, instead of the columns.
    sigma_scale : float, optional
        How much of the columns' errors is new in every frame; None where that is not known.
    box : float array, shape (D,), px, optional
        Periodic lengths of a simulated recording, which has no edge.
    n_species : int
        That the laws tell apart: by the column `species`, or by size where there is none.
    """
    if (edge_distance is None) != (box is not None):
        raise UsageError(
            "give either the distance to the edge of the view, or a periodic box, which has none"
        )
    table = _ordered(tracks)
    particles, code = np.unique(table["particle"].to_numpy(), return_inverse=True)
    radius = _radius(table, code, len(particles))
    filled = _fill_gaps(table, code, sigma_px, 1.0 if sigma_scale is None else sigma_scale)
    order = np.lexsort((filled["particle"], filled["frame"]))
    filled = {name: values[order] for name, values in filled.items()}
    first, stop = int(filled["frame"][0]), int(filled["frame"][-1]) + 1
    start = np.searchsorted(filled["frame"], np.arange(first, stop + 1))
    observed = filled["observed"] & ~np.isin(filled["frame"], list(bad_frames))
    return Recording(
        first=first,
        stop=stop,
        start=start,
        particle=filled["particle"],
        particles=particles,
        position=filled["position"],
        # Also what was located in a damaged frame must not pull on the filtered motion.
        sigma=np.where(observed[:, None], filled["sigma"], GAP_SIGMA_PX),
        observed=observed,
        radius=radius,
        edge=_distance_to_edge(filled["position"], edge_distance),
        bad_frames=bad_frames,
        box=box,
        sigma_stated=sigma_px is not None or _states_sigma(tracks),
        sigma_new=sigma_px is not None or sigma_scale is not None,
        species=tell_apart(table, code, radius, n_species) if n_species > 1 else None,
        seems_mixed=seem_mixed(table, radius) if n_species == 1 else "",
    )


def _ordered(tracks: pd.DataFrame) -> pd.DataFrame:
    """The tracks one after the other, if they are some."""
    if tracks["frame"].nunique() < 3:
        raise FitRefused("the tracks cover fewer than 3 frames; dynamics needs a longer recording")
    table = tracks.sort_values(["particle", "frame"], kind="stable")
    if table.duplicated(["particle", "frame"]).any():
        raise InputError("a particle appears twice in one frame of the tracks; link the features again")
    return table


def _distance_to_edge(position: np.ndarray, edge_distance: EdgeDistance | None) -> np.ndarray:
    """To that of the view, or of what the particles fill; infinite in a box, shape (n_rows,)."""
    if edge_distance is None:
        return np.full(len(position), np.inf)
    return np.minimum(edge_distance(*position.T), _hull_distance(position))


def _states_sigma(tracks: pd.DataFrame) -> bool:
    return "sigma_x_px" in tracks and bool(np.isfinite(tracks["sigma_x_px"]).any())


def _radius(table: pd.DataFrame, code: np.ndarray, n: int) -> np.ndarray:
    """One radius a track: the median of its frames; equal ones where sizes are not known."""
    if "radius_px" not in table or not np.isfinite(table["radius_px"]).any():
        return np.ones(n)
    per_track = table["radius_px"].groupby(code).median().reindex(range(n)).to_numpy(dtype=float)
    return np.where(np.isfinite(per_track) & (per_track > 0), per_track, np.nanmedian(per_track))


def _fill_gaps(
    table: pd.DataFrame, code: np.ndarray, sigma_px: float | None, sigma_scale: float
) -> dict[str, np.ndarray]:
    frame = table["frame"].to_numpy(dtype=np.int64)
    axes = [axis for axis in ("x", "y", "z") if axis in table]
    position = table[axes].to_numpy(dtype=float)
    if sigma_px is not None:
        sigma = np.full_like(position, sigma_px)
    elif "sigma_x_px" in table:
        sigma = sigma_scale * table[[f"sigma_{axis}_px" for axis in axes]].to_numpy(dtype=float)
        typical = np.nanmedian(sigma) if np.isfinite(sigma).any() else 0.0
        sigma = np.where(np.isfinite(sigma), sigma, typical)
    else:
        sigma = np.zeros_like(position)
    columns: dict[str, list[np.ndarray]] = {
        k: [] for k in ("frame", "particle", "position", "sigma", "observed")
    }

    def add(f: np.ndarray, p: np.ndarray, r: np.ndarray, s: np.ndarray, seen: bool) -> None:
        columns["frame"].append(f)
        columns["particle"].append(p)
        columns["position"].append(r)
        columns["sigma"].append(s)
        columns["observed"].append(np.full(len(f), seen))

    add(frame, code, position, sigma, True)
    step = np.diff(frame)
    for k in np.flatnonzero((np.diff(code) == 0) & (step > 1)):
        inner = np.arange(1, step[k])
        weight = (inner / step[k])[:, None]
        between = (1 - weight) * position[k] + weight * position[k + 1]
        add(
            frame[k] + inner,
            np.full(len(inner), code[k]),
            between,
            np.full_like(between, GAP_SIGMA_PX),
            False,
        )
    return {name: np.concatenate(parts) for name, parts in columns.items()}


def _hull_distance(position: np.ndarray) -> np.ndarray:
    """Distance of each position to the convex hull of all of them (positive inside)."""
    from scipy.spatial import ConvexHull, QhullError

    try:
        hull = ConvexHull(position)
    except (QhullError, ValueError):  # fewer than three positions, or all on one line
        return np.zeros(len(position))
    normals = hull.equations[:, :-1]
    offsets = hull.equations[:, -1]
    distance = np.full(len(position), np.inf)
    for normal, offset in zip(normals, offsets, strict=True):
        np.minimum(distance, -(position @ normal + offset), out=distance)
    return distance

"""Voronoi cells: area and number of neighbours."""

from __future__ import annotations

import numpy as np
import pandas as pd

from colloidlab.indicators.trajectories import Floats, snapshots
from colloidlab.indicators.triangulation import Region, Triangulation, matching
from colloidlab.progress import SILENT, Monitor

VORONOI_COLUMNS = ("frame", "particle", "coordination", "voronoi_area_px2", "edge_cell")


def voronoi_areas(mesh: Triangulation) -> Floats:
    """Area of each particle's Voronoi cell, from the triangulation that is dual to it.

    A cell falls into one triangle for each neighbour, from the particle to the edge that
    the two cells share: A_i = Σ_j ¼ |r_ij| ℓ_ij, with ℓ_ij that edge's length (`facets`).

    Returns
    -------
    areas : float array, shape (n,), px²
        NaN where particles outside the view could change the cell.

    References
    ----------
    Okabe, Boots, Sugihara & Chiu, Spatial Tessellations (2nd ed., 2000), chapter 2.
    """
    wedge = 0.25 * np.hypot(mesh.bonds[:, 0], mesh.bonds[:, 1]) * mesh.facets
    areas = np.bincount(mesh.edges.ravel(), np.repeat(wedge, 2), mesh.n)
    return np.where(mesh.certain, areas, np.nan)


def voronoi_table(
    tracks: pd.DataFrame,
    *,
    region: Region | None = None,
    box: Floats | None = None,
    triangulations: list[Triangulation] | None = None,
    monitor: Monitor = SILENT,
) -> pd.DataFrame:
    """Voronoi cell of every particle and frame; three-dimensional tracks are projected on x and y.

    Parameters
    ----------
    tracks : DataFrame
        Columns frame, particle, x, y in px.
    region : (x0, y0, x1, y1), optional
        Rectangle in which particles are seen [the bounding box of each frame].
    box : float array, shape (2,), optional
        Sides of a periodic box, px.
    triangulations : list of Triangulation, optional
        Of these tracks, from `triangulate_tracks`; region and box are then theirs.
    monitor : Monitor

    Returns
    -------
    DataFrame
        frame, particle, coordination (Int64) and voronoi_area_px2, both missing at the edge, where particles
        outside the view could change them, and edge_cell.
    """
    shots = snapshots(tracks)
    meshes = matching(shots, triangulations, region=region, box=box, monitor=monitor, label="Voronoi cells")
    none: list[Floats] = [np.zeros(0)]
    certain = np.concatenate([*none, *(mesh.certain for mesh in meshes)]).astype(np.bool_)
    coordination = np.concatenate([*none, *(mesh.coordination for mesh in meshes)]).astype(np.int64)
    return pd.DataFrame(
        {
            "frame": np.repeat(shots.frames, [mesh.n for mesh in meshes]),
            "particle": np.concatenate([*none, *shots.particles]).astype(np.int64),
            "coordination": pd.arrays.IntegerArray(coordination, ~certain),
            "voronoi_area_px2": np.concatenate([*none, *(voronoi_areas(mesh) for mesh in meshes)]),
            "edge_cell": ~certain,
        }
    )

"""Everything that `colloidlab track` and `colloidlab indicators` say about structure and motion, from the tracks alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from colloidlab.config import IndicatorsConfig
from colloidlab.errors import InputError
from colloidlab.indicators import catalogue_flow as flow
from colloidlab.indicators import catalogue_motion as motion
from colloidlab.indicators import catalogue_rearrangement as rearrangement
from colloidlab.indicators import catalogue_structure as structure
from colloidlab.indicators.bond_order import PSI6_COLUMNS, Region
from colloidlab.indicators.curve import Curve
from colloidlab.indicators.local_density import LOCAL_DENSITY_COLUMNS
from colloidlab.indicators.neighbour_changes import NEIGHBOUR_COLUMNS
from colloidlab.indicators.oscillation import find_oscillation
from colloidlab.indicators.pair_entropy import PAIR_ENTROPY_COLUMNS
from colloidlab.indicators.particle_diffusion import DIFFUSION_COLUMNS
from colloidlab.indicators.scene import Part, Scene, observed_region
from colloidlab.indicators.t1_events import T1_COLUMNS
from colloidlab.indicators.voronoi import VORONOI_COLUMNS
from colloidlab.progress import SILENT, Monitor
from colloidlab.tables import COLUMNS
from colloidlab.units import Calibration


@dataclass(frozen=True)
class Quantity:
    """One entry of the catalogue.

    Parameters
    ----------
    spoken : str
        What sentences call it.
    measure : callable(Scene) -> Part
    columns : tuple of str
        That the table has in any case, empty where the quantity could not be computed.
    """

    spoken: str
    measure: Callable[[Scene], Part]
    columns: tuple[str, ...] = ()


_STRAINS = ("strain_xx", "strain_xy", "strain_yy")
_D2MIN_COLUMNS = (
    *("d2min_px2", "d2min_error_px2", "d2min_noise_px2", "rearranged"),
    *_STRAINS,
    *(f"{name}_error" for name in _STRAINS),
    "n_neighbours",
)

CATALOGUE = {
    "g_r": Quantity("g(r)", structure.radial),
    "s_q": Quantity("S(q)", structure.scattering),
    "psi6": Quantity("psi6", structure.hexatic, PSI6_COLUMNS[2:]),
    "voronoi": Quantity("the Voronoi tessellation", structure.cells, VORONOI_COLUMNS[2:]),
    "density": Quantity("the local density", structure.density, LOCAL_DENSITY_COLUMNS[2:]),
    "pair_entropy": Quantity("the pair entropy", structure.order_of_pairs, PAIR_ENTROPY_COLUMNS[2:]),
    "msd": Quantity("the MSD", motion.mean_squared_displacement),
    "cage_msd": Quantity("the cage-relative MSD", motion.relative_displacement),
    "vacf": Quantity("the VACF", motion.velocity_autocorrelation),
    "van_hove": Quantity("the van Hove function", motion.displacement_distribution),
    "alpha2": Quantity("alpha2", motion.non_gaussian_parameter),
    "f_s": Quantity("F_s", motion.scattering),
    "overlap": Quantity("the overlap", motion.relaxation),
    "diffusion": Quantity("the diffusion coefficient", motion.diffusion),
    "d2min": Quantity("D2min", rearrangement.nonaffine, _D2MIN_COLUMNS),
    "cage": Quantity(
        "the cage-relative displacement", rearrangement.cage_relative, ("cage_dx_px", "cage_dy_px")
    ),
    "hop": Quantity("p_hop", rearrangement.hopping, ("hop_px2", "hop_error_px2", "hopped")),
    "neighbours": Quantity(
        "the change of neighbours", rearrangement.neighbour_changes, NEIGHBOUR_COLUMNS[2:]
    ),
    "t1": Quantity("the search for T1 events", rearrangement.neighbour_exchanges),
    "oscillation": Quantity("the oscillation", flow.oscillation),
    "flow": Quantity("the mean flow", flow.flow_field),
    "flow_residual": Quantity(
        "the residual of the flow", flow.residual, ("flow_residual_dx_px", "flow_residual_dy_px")
    ),
}
"""Every quantity by the name that `--only` knows; `config.QUANTITIES` lists the same names."""

NO_CURVES = Curve(*(np.zeros(0),) * 4, x_unit="", y_unit="").to_table("")

TABLES: dict[str, tuple[str, ...]] = {
    "events": T1_COLUMNS,
    "flow": ("frame", "x", "y", "vx_px", "vy_px"),
    "drive": ("frame", "dx_px", "dy_px", "shear_strain"),
    "particles": DIFFUSION_COLUMNS,
}
"""Tables with rows of their own that the stage always writes, and their columns."""

Parts = dict[str, dict[str, Any]]
"""By quantity, what of the results is its own: names of `columns`, `curves`, `tables`, `summary`, and its `notes`."""


@dataclass(frozen=True)
class IndicatorResult:
    """Tables and headline numbers of the indicators.

    Parameters
    ----------
    table : DataFrame
        For indicators.parquet: one row for each row of the tracks, sorted by frame and particle; quantities,
        counts and flags are missing where they are not known (`tables.COLUMNS` has the types of the last two).
    curves : DataFrame
        For curves.parquet, in calibrated units.
    tables : dict
        Those of `TABLES`, without rows where there is nothing to say.
    summary : dict
        Keys of docs/run-folder.md, and `notes`: sentences on choices and on what could
        not be computed.
    parts : dict
        What of all this belongs to which quantity; see `Parts`.
    """

    table: pd.DataFrame
    curves: pd.DataFrame
    tables: dict[str, pd.DataFrame]
    summary: dict[str, Any]
    parts: Parts


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
    taken out of displacements; strain and D²min are blind to it.

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
    seen = observed_region(tracks, region or (-0.5, -0.5, view[0] - 0.5, view[1] - 0.5))
    scene = Scene(tracks, calibration, config, seen, monitor)
    rows = _rows(scene)
    wanted = monitor.track(config.quantities, "indicators", len(config.quantities))
    return _join(rows, {name: _measure(name, scene) for name in wanted})


def refuse_impossible(tracks: pd.DataFrame, config: IndicatorsConfig) -> None:
    """Raise where the options ask for frames that the recording does not have, or for the period of no drive.

    Raises
    ------
    InputError
    """
    frames = tracks["frame"].to_numpy()
    if frames.size == 0:
        return
    first, last = int(frames.min()), int(frames.max())
    for name in ("reference_frame", "msd_origin_frame"):
        value = getattr(config, name)
        if value is not None and not (frames == value).any():
            raise InputError(
                f"{name} = {value} holds no particle; the tracks go from frame {first} to {last}"
            )
    for name, reach in (("lag_frames", 1), ("hop_frames", 2)):
        value = getattr(config, name)
        if value is not None and reach * value > last - first:
            raise InputError(
                f"{name} = {value} does not fit a recording of {last - first + 1} frames; give at most "
                f"{(last - first) // reach}"
            )
    if config.lag_period and config.lag_frames is None and find_oscillation(tracks) is None:
        raise InputError(
            "the common motion is not periodic, so that there is no period to compare over; give --lag-frames"
        )


def _measure(name: str, scene: Scene) -> Part:
    """One quantity; where the data cannot give it, a part that says why."""
    quantity = CATALOGUE[name]
    try:
        part = quantity.measure(scene)
    except InputError as reason:
        part = Part(notes=[f"{quantity.spoken} was not computed: {reason}"])
    if part.columns is None and quantity.columns:
        part.columns = pd.DataFrame(columns=["frame", "particle", *quantity.columns], dtype="float64")
    return part


def _rows(scene: Scene) -> pd.DataFrame:
    """Frame and particle of every row of the tracks with a position, sorted."""
    shots = scene.shots
    number = [len(particles) for particles in shots.particles]
    particle = np.concatenate(shots.particles) if shots.particles else np.zeros(0, np.int64)
    return pd.DataFrame({"frame": np.repeat(shots.frames, number), "particle": particle}).astype("int64")


def _join(rows: pd.DataFrame, parts: dict[str, Part]) -> IndicatorResult:
    table, curves = rows, [NO_CURVES]
    tables = {name: pd.DataFrame(columns=list(columns)) for name, columns in TABLES.items()}
    summary: dict[str, Any] = {}
    owned: Parts = {}
    for name, part in parts.items():
        own = []
        if part.columns is not None:
            own = [c for c in part.columns.columns if c not in rows.columns]
            table = _with_columns(table, part.columns)
        curves += [curve.to_table(quantity) for quantity, curve in part.curves]
        tables |= part.tables
        summary |= part.summary
        owned[name] = {
            "columns": own,
            "curves": [quantity for quantity, _ in part.curves],
            "tables": list(part.tables),
            "summary": list(part.summary),
            "notes": part.notes,
        }
    notes = [note for part in parts.values() for note in part.notes]
    filled = [frame for frame in curves if len(frame)] or [NO_CURVES]
    return IndicatorResult(
        table, pd.concat(filled, ignore_index=True), tables, {**summary, "notes": notes}, owned
    )


def _with_columns(table: pd.DataFrame, columns: pd.DataFrame) -> pd.DataFrame:
    """`table` with the columns of another; where that has no row, numbers, counts and flags are missing."""
    types = {name: COLUMNS[name].dtype for name in columns if name in COLUMNS and COLUMNS[name].dtype}
    return table.merge(
        columns.astype({"frame": "int64", "particle": "int64", **types}),
        on=["frame", "particle"],
        how="left",
        validate="one_to_one",
    )

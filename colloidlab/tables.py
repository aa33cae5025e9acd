"""The columns of every table in a run folder, with unit and meaning, and Parquet in and out.

trackpy's columns keep trackpy's names and meanings (`size` is its radius of
gyration); ours are added. Units and calibration travel in the Parquet schema
metadata under the key ``colloidlab``, as JSON.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from colloidlab.errors import InputError
from colloidlab.units import Calibration

METADATA_KEY = b"colloidlab"

TABLE_SUFFIXES = {".csv", ".txt", ".parquet"}
"""Files that hold positions instead of images."""

_LARGEST_INDEX = 2**53
"""Beyond it a float does not tell one whole number from the next."""

_LONGEST_RECORDING = 10_000_000
"""Frames; a day at 100 a second. The table of frames has a row for every one, also for empty ones."""


@dataclass(frozen=True)
class Column:
    """What a column holds; the unit is empty for counts, ratios and words.

    `dtype`: pandas' type of a flag or count that may be missing ("boolean", "Int64"). A flag that could not be judged
    is missing, not false, and a count that could not be made is not zero. Empty for all other columns.
    """

    unit: str
    meaning: str
    dtype: str = ""


COLUMNS: dict[str, Column] = {
    # trackpy's
    "frame": Column("", "frame index in the recording, from 0"),
    "particle": Column("", "track identity, constant over frames"),
    "x": Column("px", "centre, along the image's columns; 0 is the centre of the first pixel"),
    "y": Column("px", "centre, along the image's rows; 0 is the centre of the first pixel"),
    "z": Column("px", "centre, along the planes of a stack"),
    "mass": Column("grey level", "integrated brightness after band-pass (trackpy)"),
    "species": Column("", "of which species a particle is, or between which two a function is, in a mixture"),
    "size": Column("px", "radius of gyration of the band-passed brightness (trackpy)"),
    "ecc": Column("", "eccentricity, 0 is circular (trackpy)"),
    "signal": Column("grey level", "brightest pixel after band-pass (trackpy)"),
    "raw_mass": Column("grey level", "integrated brightness of the raw image (trackpy)"),
    "ep": Column("px", "static error as trackpy estimates it; optimistic near contact"),
    # ours: calibrated positions, errors, sizes
    "t_s": Column("s", "time stamp; absent when the frame rate is not known"),
    "x_um": Column("um", "calibrated x; absent when the scale is not known"),
    "y_um": Column("um", "calibrated y; absent when the scale is not known"),
    "z_um": Column("um", "calibrated z; absent when the scale is not known"),
    "radius_px": Column("px", "apparent radius, from the image of this particle"),
    "sigma_x_px": Column("px", "standard deviation of the localisation error in x"),
    "sigma_y_px": Column("px", "standard deviation of the localisation error in y"),
    "chi2": Column("", "squared residual of the joint fit per pixel and noise variance; NaN for centroids"),
    "link_margin": Column(
        "nat", "log-likelihood lost without the link to the past; empty where a track begins"
    ),
    # frames
    "status": Column("", "ok, missing, damaged or duplicate"),
    "reason": Column("", "why the status is not ok, or what was repaired"),
    "n_features": Column("", "features located in the frame"),
    "mean": Column("grey level", "mean of the image"),
    "std": Column("grey level", "standard deviation of the image"),
    "saturated": Column("", "fraction of pixels at the top of the range; NaN for floats"),
    # indicators
    "d2min_px2": Column(
        "px^2", "Falk-Langer non-affine squared displacement over the lag, summed over neighbours"
    ),
    "strain_xx": Column("", "local Green-Lagrange strain over the lag"),
    "strain_xy": Column("", "local Green-Lagrange strain over the lag"),
    "strain_yy": Column("", "local Green-Lagrange strain over the lag"),
    "n_neighbours": Column(
        "",
        "neighbours used for the local strain; missing where the particle was not seen at both ends of the lag",
        "Int64",
    ),
    "strain_xz": Column("", "local Green-Lagrange strain over the lag, three-dimensional tracks"),
    "strain_yz": Column("", "local Green-Lagrange strain over the lag, three-dimensional tracks"),
    "strain_zz": Column("", "local Green-Lagrange strain over the lag, three-dimensional tracks"),
    "strain_xx_error": Column("", "standard deviation of strain_xx from localisation errors"),
    "strain_xy_error": Column("", "standard deviation of strain_xy from localisation errors"),
    "strain_yy_error": Column("", "standard deviation of strain_yy from localisation errors"),
    "strain_xz_error": Column("", "standard deviation of strain_xz from localisation errors"),
    "strain_yz_error": Column("", "standard deviation of strain_yz from localisation errors"),
    "strain_zz_error": Column("", "standard deviation of strain_zz from localisation errors"),
    "d2min_error_px2": Column("px^2", "standard deviation of d2min_px2 from localisation errors"),
    "d2min_noise_px2": Column("px^2", "mean of d2min_px2 that localisation errors alone make"),
    "rearranged": Column(
        "",
        "true where D2min is more than localisation errors make, at the stated rate; missing where D2min or its error "
        "is not known",
        "boolean",
    ),
    "hop_px2": Column(
        "px^2",
        "p_hop of Candelier et al.: squared distance between the places before and after the frame, "
        "relative to the neighbours; never less than the spread within them",
    ),
    "hop_error_px2": Column("px^2", "standard deviation of hop_px2 from localisation errors"),
    "hopped": Column(
        "",
        "true where p_hop peaks and is more than localisation errors make, at the stated rate; missing where p_hop "
        "or its error is not known",
        "boolean",
    ),
    "cage_dx_px": Column("px", "displacement over the lag relative to the neighbours"),
    "cage_dy_px": Column("px", "displacement over the lag relative to the neighbours"),
    "cage_dz_px": Column("px", "displacement over the lag relative to the neighbours"),
    "flow_residual_dx_px": Column("px", "displacement over the lag less that of the mean flow"),
    "flow_residual_dy_px": Column("px", "displacement over the lag less that of the mean flow"),
    "neighbours_lost": Column(
        "",
        "Delaunay neighbours that the particle had a lag ago and has no longer; missing where not certain",
        "Int64",
    ),
    "neighbours_gained": Column(
        "", "Delaunay neighbours that it did not have a lag ago; missing where not certain", "Int64"
    ),
    "coordination": Column("", "number of Delaunay neighbours; missing where it is not certain", "Int64"),
    "voronoi_area_px2": Column("px^2", "area of the Voronoi cell; empty where it is not certain"),
    "edge_cell": Column(
        "",
        "true where particles outside the view could change the Voronoi cell; missing only in three dimensions",
        "boolean",
    ),
    "local_density_per_px2": Column("px^-2", "particles per area around the particle"),
    "local_density_per_px3": Column(
        "px^-3", "particles per volume around the particle, three-dimensional tracks"
    ),
    "pair_entropy": Column("k_B", "two-body excess entropy of the particle"),
    # events
    "particle_a": Column("", "one of the two that were neighbours before a T1 event"),
    "particle_b": Column("", "the other one"),
    "particle_c": Column("", "one of the two that are neighbours after it"),
    "particle_d": Column("", "the other one"),
    "persistence_frames": Column("", "frames that the new neighbours are known to have stayed"),
    "psi6": Column("", "modulus of the hexatic bond-order parameter, Delaunay neighbours"),
    "psi6_error": Column("", "standard deviation of psi6 from localisation errors"),
    "psi6_angle_rad": Column("rad", "phase of the hexatic bond-order parameter divided by 6"),
    **{
        name: column
        for n in (2, 3, 4, 5, 7, 8, 9, 10, 11, 12)
        for name, column in (
            (f"psi{n}", Column("", f"modulus of psi_{n}, neighbours weighted by the shared Voronoi edge")),
            (f"psi{n}_angle_rad", Column("rad", f"phase of psi_{n} divided by {n}")),
        )
    },
    "boundary": Column(
        "", "true within two interaction cutoffs of the edge of the view or of the tracked region"
    ),
    # flow
    "dx_px": Column("px", "displacement that all particles share, at their centre, since the first frame"),
    "dy_px": Column("px", "displacement that all particles share, at their centre, since the first frame"),
    "dz_px": Column("px", "displacement that all particles share, at their centre, since the first frame"),
    "dx_error_px": Column("px", "standard error of the shared displacement since the frame before"),
    "dy_error_px": Column("px", "standard error of the shared displacement since the frame before"),
    "dz_error_px": Column("px", "standard error of the shared displacement since the frame before"),
    "shear_strain": Column("", "gradient_xy + gradient_yx"),
    "rotation_rad": Column("rad", "shared rotation since the first frame, from x towards y"),
    "vz_px": Column("px/frame", "velocity of the mean flow in px a frame"),
    "vx_error_px": Column("px/frame", "standard error of vx_px"),
    "vy_error_px": Column("px/frame", "standard error of vy_px"),
    "vz_error_px": Column("px/frame", "standard error of vz_px"),
    "shear_rate_per_frame": Column("frame^-1", "dvx/dy + dvy/dx of the mean flow"),
    "shear_rate_error_per_frame": Column("frame^-1", "standard error of shear_rate_per_frame"),
    "vorticity_per_frame": Column("frame^-1", "dvy/dx - dvx/dy of the mean flow"),
    "vorticity_error_per_frame": Column("frame^-1", "standard error of vorticity_per_frame"),
    "flow_residual_dz_px": Column("px", "displacement over the lag less that of the mean flow"),
    "n_particles": Column("", "particles or displacements that the value is fitted to"),
    "component": Column("", "of the common motion: translation, strain, shear or rotation"),
    "amplitude": Column("", "of the first harmonic of the component, in px where its name says so"),
    "amplitude_error": Column("", "standard error of amplitude"),
    "phase_rad": Column("rad", "phi of A cos(2 pi frame/period + phi)"),
    "phase_error_rad": Column("rad", "standard error of phase_rad"),
    "error_px": Column("px", "standard error of the amplitudes of the particle"),
    **{
        f"{part}_d{a}_px": Column("px", f"amplitude of the particle's motion beside the affine one, {words}")
        for part, words in (("in_phase", "with the drive"), ("out_of_phase", "a quarter of a period later"))
        for a in "xyz"
    },
    **{
        f"gradient_{a}{b}{error}": Column("", meaning)
        for error, meaning in (
            ("", "displacement gradient that all particles share, since the first frame"),
            ("_error", "standard error of the shared gradient since the frame before"),
        )
        for a in "xyz"
        for b in "xyz"
    },
    **{
        f"dv{a}_d{b}{error}_per_frame": Column("frame^-1", meaning)
        for error, meaning in (
            ("", "velocity gradient of the mean flow"),
            ("_error", "standard error of the velocity gradient of the mean flow"),
        )
        for a in "xyz"
        for b in "xyz"
    },
    # single particles
    "n_displacements": Column("", "displacements of the particle that its diffusion is estimated from"),
    "diffusion_px2_per_frame": Column(
        "px^2/frame", "diffusion coefficient of the particle; may be negative, within its error"
    ),
    "diffusion_error_px2_per_frame": Column("px^2/frame", "standard error of diffusion_px2_per_frame"),
    "noise_variance_px2": Column(
        "px^2", "variance of the localisation error as the particle's motion tells it; may be negative"
    ),
    "noise_variance_error_px2": Column("px^2", "standard error of noise_variance_px2"),
    # learned state
    "vx_px": Column(
        "px/frame", "velocity in px a frame: filtered, of a particle (state), or of the mean flow (flow)"
    ),
    "vy_px": Column(
        "px/frame", "velocity in px a frame: filtered, of a particle (state), or of the mean flow (flow)"
    ),
    "entropy": Column("k_B", "hidden entropy; its zero is arbitrary"),
    "temperature_px2": Column(
        "px^2/frame^2",
        "k_B T/m of the particle; where masses differ, m is that of the first species or of the mean radius",
    ),
    "sigma_ln_temperature": Column(
        "", "standard deviation of ln T as the filter states it; empty where an encoder states none"
    ),
    "sigma_entropy": Column(
        "k_B", "standard deviation of entropy at the stated one of ln T: the heat capacity times it"
    ),
}


def write_parquet(
    path: Path,
    table: pd.DataFrame,
    *,
    calibration: Calibration | None = None,
    provenance: dict[str, Any] | None = None,
) -> None:
    """Write one table with units, calibration and provenance in the schema metadata (not atomic: see `files`)."""
    arrow = pa.Table.from_pandas(table, preserve_index=False)
    meta = {
        "units": {c: COLUMNS[c].unit for c in table.columns if c in COLUMNS},
        "calibration": asdict(calibration or Calibration()),
        "provenance": provenance or {},
    }
    arrow = arrow.replace_schema_metadata(
        {**(arrow.schema.metadata or {}), METADATA_KEY: json.dumps(meta).encode()}
    )
    # Measured numbers rarely repeat: splitting their bytes compresses them better than a dictionary.
    floats = [field.name for field in arrow.schema if pa.types.is_floating(field.type)]
    others = [field.name for field in arrow.schema if not pa.types.is_floating(field.type)]
    pq.write_table(arrow, path, compression="zstd", use_dictionary=others, use_byte_stream_split=floats)


def read_parquet(path: Path) -> pd.DataFrame:
    """Read a table; `attrs["colloidlab"]` holds units, calibration and provenance."""
    with _readable(path):
        arrow = pq.read_table(path)
    table = arrow.to_pandas()
    table.attrs.clear()
    raw = (arrow.schema.metadata or {}).get(METADATA_KEY)
    if raw:
        table.attrs["colloidlab"] = json.loads(raw)
    return table


def column_names(path: Path) -> list[str]:
    """Names of the columns of a table, without reading it."""
    with _readable(path):
        return list(pq.read_schema(path).names)


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError:
        raise InputError(f"{path} does not exist; run the stage that writes it first") from None
    except (OSError, pa.ArrowException) as error:
        raise InputError(f"{path} is not a readable Parquet file ({error}); run its stage again") from error


def read_positions(path: Path) -> pd.DataFrame:
    """Read a table of positions made elsewhere: CSV or Parquet with trackpy's columns.

    Returns
    -------
    DataFrame with at least `frame, x, y`, and `particle` where the file has it, sorted by frame. Rows in
    which one of these (or z) is empty or infinite are left out.

    Raises
    ------
    InputError
        A file that is absent or no table; a column that is absent or not numeric; an index that is not
        whole or out of range; a particle that is twice in one frame.
    """
    try:
        table = _read_csv(path) if path.suffix.lower() in {".csv", ".txt"} else read_parquet(path)
    except FileNotFoundError:
        raise InputError(f"{path} does not exist; check the path") from None
    except (pd.errors.ParserError, pd.errors.ParserWarning, pd.errors.EmptyDataError, UnicodeError) as error:
        raise InputError(
            f"{path} is not a readable table ({_reason(error)}); expected CSV with the columns frame, x, y"
        ) from error
    missing = [c for c in ("frame", "x", "y") if c not in table.columns]
    if missing:
        raise InputError(
            f"{path} has no column {', '.join(missing)}; a table of positions needs frame, x and y"
        )
    if table.empty:
        raise InputError(f"{path} holds no rows; a table of positions needs at least two frames")
    present = [c for c in ("frame", "particle", "x", "y", "z") if c in table.columns]
    for column in present:
        if not pd.api.types.is_numeric_dtype(table[column]):
            raise InputError(f"{path}: column {column} is not numeric; write plain numbers")
    table = table[np.isfinite(table[present].to_numpy(dtype=float)).all(axis=1)]
    for column in ("frame", "particle"):
        if column in table.columns:
            table = table.assign(**{column: _whole(table[column], path)})
    _check_frames(table, path)
    return table.sort_values(["frame"], kind="stable").reset_index(drop=True)


def _read_csv(path: Path) -> pd.DataFrame:
    # Rows that are longer than the header would shift every column by one without index_col=False, and
    # lose values with it: pandas warns of the latter.
    with warnings.catch_warnings():
        warnings.simplefilter("error", pd.errors.ParserWarning)
        return pd.read_csv(path, index_col=False)


def _reason(error: Exception) -> str:
    return str(error).strip().removeprefix("Error tokenizing data. C error: ")


def _whole(values: pd.Series, path: Path) -> pd.Series:
    """Whole numbers as int64; what is not whole is refused rather than cut off."""
    wrong = values[(values != np.round(values)) | (values.abs() >= _LARGEST_INDEX)]
    if len(wrong):
        raise InputError(
            f"{path}: column {values.name} holds {wrong.iloc[0]:g}, which is no index; number them 0, 1, 2, ..."
        )
    return values.astype("int64")


def _check_frames(table: pd.DataFrame, path: Path) -> None:
    if table.empty:
        raise InputError(f"{path} has no row with a finite frame and position; check how it was written")
    if (table["frame"] < 0).any():
        raise InputError(f"{path}: frame {table['frame'].min()} is negative; number the frames 0, 1, 2, ...")
    span = int(table["frame"].max() - table["frame"].min()) + 1
    if span > _LONGEST_RECORDING:
        raise InputError(
            f"{path}: the frames run from {table['frame'].min()} to {table['frame'].max()}, more than "
            f"{_LONGEST_RECORDING}; column frame must count frames, not hold time stamps"
        )
    if "particle" in table.columns and (twice := table.duplicated(["frame", "particle"])).any():
        row = table[twice].iloc[0]
        raise InputError(
            f"{path}: particle {row['particle']:.0f} is in frame {row['frame']:.0f} twice; a track has one "
            "position a frame: remove one of them, or the column particle to link anew"
        )

"""Positions here and in napari: the one place where (x, y) becomes (t, y, x) and back.

Tables hold `frame, x, y[, z]` in pixels with the centre of the first pixel at (0, 0). napari's data
coordinates are (frame, [z,] y, x) with pixel centres at integers too, so only the order differs. A layer's
`scale` leads on to world coordinates: micrometres in space, frames in time. Time stays in frames, also where
the frame rate is known: napari finds the current index of a layer by dividing by the scale, and with 1/30 s
a track's newest position would sometimes be taken for one of the future.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from colloidlab.errors import InputError
from colloidlab.units import Calibration

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Placement:
    """Where the data of a layer lie in the world: keyword arguments of every layer.

    Parameters
    ----------
    scale, translate : tuple of float
        World coordinates are scale · data + translate; frames, and um (px without a scale).
    units, axis_labels : tuple of str
    """

    scale: tuple[float, ...]
    translate: tuple[float, ...]
    units: tuple[str, ...]
    axis_labels: tuple[str, ...]

    def arguments(self) -> dict[str, Any]:
        """For a napari layer."""
        return dict(vars(self))


def place(
    calibration: Calibration,
    *,
    cell_px: tuple[float, ...] | None = None,
    first_frame: int = 0,
    n_space: int = 2,
) -> Placement:
    """Placement of a layer whose data are in pixels, or in cells of a coarser grid over the same image.

    Parameters
    ----------
    calibration : Calibration
    cell_px : tuple of float, optional
        Sides of a cell along x, y[, z], px; a pixel by default. The first cell begins at the corner of the
        first pixel, (-1/2, -1/2) px.
    first_frame : int
        Frame of the first image of the layer.
    n_space : int
        2, or 3 with z.

    >>> place(Calibration(um_per_px=0.5)).scale
    (1.0, 0.5, 0.5)
    """
    length = calibration.length_per_px
    unit = "pixel" if calibration.um_per_px is None else calibration.length_unit
    cells = (cell_px or (1.0,) * n_space)[::-1]
    return Placement(
        scale=(1.0, *(cell * length for cell in cells)),
        translate=(float(first_frame), *((0.5 * cell - 0.5) * length for cell in cells)),
        units=("pixel", *(unit,) * n_space),
        axis_labels=("frame", *_axes(n_space)[::-1]),
    )


def to_napari(table: pd.DataFrame) -> Floats:
    """Positions of a table in napari's order.

    Parameters
    ----------
    table : DataFrame
        Columns frame, x, y[, z].

    Returns
    -------
    float array, shape (n, 3) or (n, 4)
        frame, [z,] y, x

    >>> to_napari(pd.DataFrame({"frame": [7], "x": [30.0], "y": [2.0]}))
    array([[ 7.,  2., 30.]])
    """
    axes = _axes(3 if "z" in table else 2)
    return table[["frame", *axes[::-1]]].to_numpy(dtype=np.float64)


def from_napari(data: np.ndarray) -> pd.DataFrame:
    """Table of positions from napari's data coordinates; inverse of `to_napari`.

    Parameters
    ----------
    data : array, shape (n, 3) or (n, 4)

    Returns
    -------
    DataFrame
        frame (whole), x, y[, z]

    Raises
    ------
    InputError
        The array has other numbers of columns.
    """
    data = np.atleast_2d(np.asarray(data, dtype=np.float64))
    n_space = data.shape[1] - 1
    if data.ndim != 2 or n_space not in (2, 3):
        raise InputError(f"positions have the shape {data.shape}; expected (n, 3): frame, y, x")
    columns = {axis: data[:, -1 - k] for k, axis in enumerate(_axes(n_space))}
    return pd.DataFrame({"frame": np.rint(data[:, 0]).astype(np.int64), **columns})


def tracks_to_napari(table: pd.DataFrame) -> Floats:
    """Data of a Tracks layer: particle, frame, [z,] y, x, shape (n, 4) or (n, 5), in the table's order."""
    return np.column_stack([table["particle"].to_numpy(dtype=np.float64), to_napari(table)])


def tracks_from_napari(data: np.ndarray) -> pd.DataFrame:
    """Table particle, frame, x, y[, z] of the data of a Tracks layer; inverse of `tracks_to_napari`."""
    data = np.asarray(data, dtype=np.float64)
    table = from_napari(data[:, 1:])
    table.insert(0, "particle", np.rint(data[:, 0]).astype(np.int64))
    return table


def arrows_to_napari(tails: pd.DataFrame, displacement: np.ndarray) -> Floats:
    """Data of a Vectors layer: arrows within a frame.

    Parameters
    ----------
    tails : DataFrame
        frame, x, y[, z] of the arrows' tails, px.
    displacement : array, shape (n, D), px
        Along x, y[, z].

    Returns
    -------
    float array, shape (n, 2, 1 + D)
        Tail and projection, each in napari's order.
    """
    along = np.asarray(displacement, dtype=np.float64)[:, ::-1]
    return np.stack([to_napari(tails), np.column_stack([np.zeros(len(along)), along])], axis=1)


def _axes(n_space: int) -> tuple[str, ...]:
    return ("x", "y", "z")[:n_space]

"""A quantity of particles as a smooth map over the image, one frame at a time."""

from __future__ import annotations

from collections import OrderedDict

import numpy as np
import pandas as pd
from scipy.ndimage import gaussian_filter

from napari_plugin.images import Images

LEAST_COVER = 0.15
"""Share of the usual density of particles, smoothed, below which the map is empty: nobody was measured there."""

_KERNEL_CELLS = 2.0
_KEPT = 64


class SmoothField(Images):
    """Kernel average of a quantity as an array, shape (n_frames, height, width), float32, NaN where nobody is.

    The kernel is a Gaussian whose standard deviation is the mean distance of the particles
    (Nadaraya and Watson's estimate), on cells of half that distance. A frame is computed when it is asked for.
    Angles are averaged on the circle: of a small one and of almost a full turn the average is small.

    Parameters
    ----------
    table : DataFrame
        Columns frame, x, y and `column`; rows without a finite value do not count.
    column : str
    shape : (int, int)
        Height and width of the image, px.
    n_frames : int
    period : float, optional
        Of an angle; the map then lies between -period/2 and period/2.

    Attributes
    ----------
    cell_px : (float, float)
        Sides of a cell along x and y.
    kernel_px : float
        Standard deviation of the kernel.
    """

    dtype = np.dtype(np.float32)

    def __init__(
        self,
        table: pd.DataFrame,
        column: str,
        shape: tuple[int, int],
        n_frames: int,
        *,
        period: float | None = None,
    ) -> None:
        known = table[np.isfinite(table[column].to_numpy(dtype=np.float64))]
        known = known.sort_values("frame", kind="stable")
        self._positions = known[["x", "y"]].to_numpy(dtype=np.float64)
        self._values = known[column].to_numpy(dtype=np.float64)
        self._turn = None if period is None else period / (2 * np.pi)
        self._offsets = np.searchsorted(known["frame"].to_numpy(), np.arange(n_frames + 1))
        height, width = shape
        used = max(1, int(np.count_nonzero(np.diff(self._offsets))))
        spacing = float(np.sqrt(height * width * used / max(1, len(known))))
        self.kernel_px = float(np.clip(spacing, 2.0, max(height, width) / 4))
        finest = self.kernel_px / _KERNEL_CELLS
        # Whole cells fill the image, so that they are not exactly square.
        columns, rows = int(np.ceil(width / finest)), int(np.ceil(height / finest))
        self.cell_px = (width / columns, height / rows)
        self.shape = (n_frames, rows, columns)
        self._usual = float(np.prod(self.cell_px)) / spacing**2
        self._cache: OrderedDict[int, np.ndarray] = OrderedDict()

    def frame(self, index: int) -> np.ndarray:
        """The map of one frame, shape (height, width) in cells."""
        found = self._cache.get(index)
        if found is None:
            found = self._cache[index] = self._smooth(index)
            while len(self._cache) > _KEPT:
                self._cache.popitem(last=False)
        return found

    def _smooth(self, index: int) -> np.ndarray:
        rows = slice(self._offsets[index], self._offsets[index + 1])
        # A cell's centre lies at whole cells from here; the first begins at the corner of the first pixel.
        places = (self._positions[rows] + 0.5) / self.cell_px - 0.5
        weights, values = self._spread(places, None), self._values[rows]
        if self._turn is None:
            with np.errstate(invalid="ignore", divide="ignore"):
                mean = self._spread(places, values) / weights
        else:
            phase = values / self._turn
            mean = self._turn * np.arctan2(*(self._spread(places, part(phase)) for part in (np.sin, np.cos)))
        mean[weights < LEAST_COVER * self._usual] = np.nan
        return mean.astype(np.float32)

    def _spread(self, places: np.ndarray, values: np.ndarray | None) -> np.ndarray:
        """Sum of a kernel around each place: shared among the four nearest cells, then blurred."""
        height, width = self.shape[1:]
        grid = np.zeros(height * width)
        corner = np.floor(places).astype(np.int64)
        part = places - corner
        for dx in (0, 1):
            for dy in (0, 1):
                column, row = corner[:, 0] + dx, corner[:, 1] + dy
                share = np.abs(1 - dx - part[:, 0]) * np.abs(1 - dy - part[:, 1])
                inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
                amount = share if values is None else share * values
                grid += np.bincount((row * width + column)[inside], amount[inside], minlength=len(grid))
        widths = tuple(self.kernel_px / cell for cell in self.cell_px[::-1])
        return np.asarray(gaussian_filter(grid.reshape(height, width), widths, mode="constant"))

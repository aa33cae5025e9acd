"""The run folder as the report sees it: tables read once, and a sentence for each that is absent."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import PurePosixPath
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image, UnidentifiedImageError

from colloidlab.errors import InputError
from colloidlab.run import Run

PRODUCT_STAGE = {
    "frames": "track",
    "features": "track",
    "tracks": "track",
    "preview": "track",
    "indicators": "track",
    "curves": "track",
    "events": "track",
    "flow": "track",
    "drive": "track",
    "particles": "track",
    "training": "fit",
    "state": "fit",
    "likelihood": "fit",
    "functions": "fit",
    "comparison": "simulate",
    "calibration": "simulate",
    "budget": "simulate",
    "rollout": "simulate",
}
"""The command that makes each product (`track` also computes the indicators)."""


class Results:
    """What a run folder holds, for drawing.

    Parameters
    ----------
    run : Run

    Raises
    ------
    InputError
        `summary.json` is damaged.
    """

    def __init__(self, run: Run) -> None:
        self.run = run
        self.calibration = run.calibration
        self._tables: dict[str, pd.DataFrame] = {}
        try:
            self.summary: dict[str, Any] = run.summary
        except (ValueError, OSError) as error:
            where = run.path / "summary.json"
            raise InputError(
                f"{where} is damaged ({error}); remove it and run 'colloidlab track' again"
            ) from None

    @property
    def name(self) -> str:
        """File name of the recording, or the folder's when the source was not recorded."""
        path = str(self.run.record.get("source", {}).get("path", "")).replace("\\", "/")
        return PurePosixPath(path).name or self.run.path.name

    @property
    def refused(self) -> str:
        """Why the fit was refused, as a sentence; empty when it was not."""
        return str(self.run.facts("fit").get("refused", ""))

    @property
    def temperature_identified(self) -> bool:
        return bool(self.summary.get("temperature_identified", False))

    @property
    def entropy(self) -> str:
        """Form of the entropy inference that was fitted: "filter", "isothermal" or "encoder"."""
        return str(self.run.facts("fit").get("entropy", "filter"))

    def need_temperature(self) -> None:
        """Raise where the fit has no temperature of single particles, with the sentence that says so."""
        if self.entropy == "isothermal" and not self.refused:
            raise InputError(
                "No temperature of single particles was fitted: one temperature for all was asked for. Run "
                f"'colloidlab fit {self.run.path} --entropy filter' to look for one."
            )

    def why_absent(self, product: str) -> str:
        """One sentence: why a product is not there and which command makes it."""
        stage = PRODUCT_STAGE[product]
        if product == "preview" and self.run.facts("track").get("from_table"):
            return "This run began with a table of positions: there is no recording to draw on."
        if stage != "track" and self.refused:
            return f"Not available, because the fit was refused: {self.refused}"
        earlier = (
            ""
            if stage != "simulate" or self.run.has("model")
            else f"'colloidlab fit {self.run.path}' and then "
        )
        return f"Not available yet; run {earlier}'colloidlab {stage} {self.run.path}' to make it."

    def table(self, name: str, columns: Sequence[str]) -> pd.DataFrame:
        """Table `name`, which must have `columns` and at least one row.

        Raises
        ------
        InputError
            The table is absent (says which command makes it), damaged, empty or of another form.
        """
        if name not in self._tables:
            absent = not self.run.has(f"{name}.parquet") or (PRODUCT_STAGE[name] != "track" and self.refused)
            if absent:
                raise InputError(self.why_absent(name))
            self._tables[name] = self.run.read_table(name)
            if name == "tracks" and "radius_px" not in self._tables[name]:
                # Positions that came as a table have no sizes; maps then draw all particles alike.
                self._tables[name]["radius_px"] = np.nan
        table = self._tables[name]
        missing = [c for c in columns if c not in table.columns]
        if missing:
            again = f"run 'colloidlab {PRODUCT_STAGE[name]} {self.run.path}' again."
            raise InputError(f"{name}.parquet has no column {', '.join(missing)}; {again}")
        if table.empty:
            raise InputError(f"{name}.parquet holds no rows: there was nothing to show here.")
        return table

    def need_quantity(self, *names: str) -> None:
        """Raise unless one of these indicators was measured: that they were not asked for is not that they failed."""
        parts = self.run.facts("indicators").get("parts")
        if parts is not None and not set(names) & set(parts):
            raise InputError(
                f"Not asked for; run 'colloidlab indicators {self.run.path} --only {','.join(names)}' to measure it."
            )

    def at_frame(self, name: str, frame: int, columns: Sequence[str]) -> pd.DataFrame:
        """Rows of one frame of table `name`, with the particle's radius where the tracks know it."""
        table = self.table(name, ["frame", *columns])
        table = table[table["frame"] == frame]
        if "radius_px" in table.columns or "particle" not in table.columns:
            return table
        tracks = self.table("tracks", ["frame", "particle", "x", "y", "radius_px"])
        wanted = ["particle", "radius_px"] + [c for c in ("x", "y") if c not in table.columns]
        return table.merge(tracks.loc[tracks["frame"] == frame, wanted], on="particle", how="inner")

    @cached_property
    def preview(self) -> np.ndarray:
        """The first usable frame, grey levels (height, width)."""
        path = self.run.path / "preview.png"
        if not path.exists():
            raise InputError(self.why_absent("preview"))
        try:
            with Image.open(path) as image:
                return np.asarray(image.convert("L"))
        except (OSError, UnidentifiedImageError, Image.DecompressionBombError, SyntaxError, ValueError):
            raise InputError(
                f"preview.png is damaged; run 'colloidlab track {self.run.path}' again."
            ) from None

    @property
    def preview_frame(self) -> int:
        """Index of the frame that `preview.png` shows; the first of the run when it was not recorded."""
        recorded = self.run.facts("track").get("preview_frame")
        return int(self.table("frames", ["frame"])["frame"].min() if recorded is None else recorded)

    @cached_property
    def extent(self) -> tuple[float, float, float, float]:
        """Part of the view that holds detections, with a margin: x0, x1, y0, y1 in px.

        Narrower than the image when a region of interest was used, so that maps fill their panel.
        """
        table = self.table("tracks", ["x", "y", "radius_px"])
        margin = 2.0 * float(np.fmax(table["radius_px"].median(), 1.0))
        low, high = table[["x", "y"]].min().to_numpy() - margin, table[["x", "y"]].max().to_numpy() + margin
        try:
            height, width = self.preview.shape
        except InputError:
            return float(low[0]), float(high[0]), float(low[1]), float(high[1])
        low, high = np.maximum(low, -0.5), np.minimum(high, (width - 0.5, height - 0.5))
        return float(low[0]), float(high[0]), float(low[1]), float(high[1])

    @property
    def blocks(self) -> dict[str, tuple[int, int]]:
        """First frame and stop of the training, validation and test blocks."""
        facts = self.run.facts("fit")
        names = ("train", "validation", "test")
        if not all(name in facts for name in names):
            self.table("training", [])  # says why, when there was no fit at all
            again = f"run 'colloidlab fit {self.run.path}' again."
            raise InputError(f"run.toml does not say how the frames were split; {again}")
        return {name: (int(facts[name][0]), int(facts[name][1])) for name in names}

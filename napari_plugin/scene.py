"""What every layer of a run needs to know: where it lies, how large the image is, what the run found."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pandas as pd

from colloidlab.run import Run
from colloidlab.units import Calibration
from napari_plugin.coordinates import place
from napari_plugin.particles import is_identified, particle_table
from napari_plugin.quantities import Quantity

NAMESPACE = "colloidlab"
"""Key of everything of ours in `layer.metadata`."""

NOT_IDENTIFIED = "not identified"

LayerData = tuple[Any, dict[str, Any], str]


@dataclass(frozen=True)
class Scene:
    """A run as it is drawn.

    Parameters
    ----------
    path : str
        The run folder, absolute.
    track_key : str
        Of the tracking that made the table.
    calibration : Calibration
    table : DataFrame
        See `particle_table`.
    shape : (int, int)
        Height and width of the image, px.
    n_frames : int
        Frames of the recording, up to the last one that was tracked where the recording is not there.
    identified : bool
        The fit says that the recording determines temperature and entropy.
    lag : int
        Frames over which displacements and rearrangements are measured.
    """

    path: str
    track_key: str
    calibration: Calibration
    table: pd.DataFrame
    shape: tuple[int, int]
    n_frames: int
    identified: bool
    lag: int

    @property
    def n_space(self) -> int:
        return 3 if "z" in self.table else 2

    def title(self, quantity: Quantity, what: str = "") -> str:
        """Name of a layer: title, whether it can be believed, and unit."""
        return titled(quantity, what, identified=self.identified)

    def arguments(self, name: str, kind: str, *, visible: bool = False, **more: Any) -> dict[str, Any]:
        """Keyword arguments that all layers share; `more` goes into `metadata["colloidlab"]`."""
        known = {"run": self.path, "calibration": vars(self.calibration)}
        metadata = {"kind": kind, "name": name, **known, **more}
        return {
            "name": name,
            "visible": visible,
            "metadata": {NAMESPACE: metadata},
            **place(self.calibration, n_space=self.n_space).arguments(),
        }

    def about(self, quantity: Quantity) -> dict[str, Any]:
        """What `metadata["colloidlab"]` says of a quantity."""
        found: dict[str, Any] = {
            "quantity": quantity.column,
            "unit": quantity.unit,
            "meaning": quantity.meaning,
            "uncertainty": quantity.uncertainty if quantity.uncertainty in self.table else None,
        }
        if quantity.learned:
            found["identified"] = self.identified
        return found


def titled(quantity: Quantity, what: str = "", *, identified: bool) -> str:
    """Title of a quantity, what of it, whether it can be believed, and unit."""
    title = quantity.title + (f" {what}" if what else "")
    if quantity.learned and not identified:
        title += f", {NOT_IDENTIFIED}"
    return title + quantity.label.removeprefix(quantity.title)


def set_scene(
    run: Run, shape: tuple[int, int] | None = None, n_frames: int = 0, *, table: pd.DataFrame | None = None
) -> Scene:
    """Read what the layers of a run need.

    Parameters
    ----------
    run : Run
        With tracks.
    shape : (int, int), optional
        Height and width of the recording, px; of the view that the run has written down where it is None.
    n_frames : int
        Of the recording, where it is there.
    table : DataFrame, optional
        In place of everything that is known of the particles: at least frame, particle, x, y.
    """
    table = particle_table(run) if table is None else table
    if shape is None:
        _, _, x1, y1 = run.facts("track").get("view", (0, 0, table["x"].max() + 1, table["y"].max() + 1))
        shape = (max(1, round(y1)), max(1, round(x1)))
    return Scene(
        path=str(run.path.resolve()),
        track_key=run.stage_key("track"),
        calibration=run.calibration,
        table=table,
        shape=shape,
        n_frames=max(n_frames, int(table["frame"].max()) + 1),
        identified=is_identified(run),
        lag=int(run.summary.get("d2min_lag_frames", 1)),
    )

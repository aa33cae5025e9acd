"""Layers of the simulated motion: over the frames of the recording, and the future beyond them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from napari.utils.colormaps import Colormap

from colloidlab.report.rollouts import Rollout
from napari_plugin.coordinates import to_napari, tracks_to_napari
from napari_plugin.particle_layers import TAILS, colouring, diameters, line_colours
from napari_plugin.quantities import colourable, describe, limits, line_colormap
from napari_plugin.scene import LayerData, Scene

FUTURE = "#ff7a1a"
"""Positions that no frame shows."""

ROLLOUT_KINDS = ("rollout", "rollout tracks", "future", "future tracks")
"""Kinds of these layers, as `metadata["colloidlab"]["kind"]` names them."""

RIM_ROLLOUT = "#d5d9de"
_ERROR = "error_px"


def rollout_layers(scene: Scene, rollout: Rollout) -> list[LayerData]:
    """Points and Tracks of one member, coloured by its distance to the experiment; then what lies beyond it.

    Particles whose motion is prescribed are empty squares; `spread_px` in `features` is the ensemble's spread.
    """
    table = rollout.table.assign(simulated=rollout.table["simulated"].astype(float))
    table = table.merge(_radii(scene), on="particle", how="left")
    recorded = table["recorded"].to_numpy(dtype=bool)
    table = table.drop(columns="recorded")
    error = describe(_ERROR)
    span = (0.0, max(limits(table.loc[recorded, _ERROR], error)[1], 1e-9))
    which = f"{rollout.member + 1} of {rollout.n_members}"
    more = {"member": rollout.member, "n_members": rollout.n_members}
    layers: list[LayerData] = []
    if recorded.any():
        shown = table[recorded].reset_index(drop=True)
        name = f"rollout {which}, error (px)"
        layers.append(_points(scene, shown, name, "rollout", more, colouring(error, span)))
        maps = line_colours(shown, colourable(shown)) | {_ERROR: line_colormap(error, span)}
        colours = {"colormaps_dict": maps, "color_by": _ERROR}
        layers.append(_tracks(scene, shown, f"rollout {which}, tracks", "rollout tracks", more, colours))
    if not recorded.all():
        beyond = table[~recorded].reset_index(drop=True)
        layers.append(_points(scene, beyond, f"future {which}", "future", more, {"face_color": FUTURE}))
        # The line to the future begins where the recording ends.
        last = table.loc[recorded, "frame"].max() if recorded.any() else -1
        line = table[~recorded | (table["frame"] == last)].reset_index(drop=True)
        # Of the future no error is known: one colour, that of its points.
        maps = line_colours(line, colourable(line)) | {"track_id": Colormap([FUTURE, FUTURE])}
        colours = {"colormaps_dict": maps}
        layers.append(_tracks(scene, line, f"future {which}, tracks", "future tracks", more, colours))
    return layers


def _points(
    scene: Scene, table: pd.DataFrame, name: str, kind: str, more: dict[str, Any], colours: dict[str, Any]
) -> LayerData:
    arguments = scene.arguments(name, kind, **more)
    arguments |= {
        "features": table.drop(columns=["x", "y"]),
        "size": 0.7 * diameters(table),
        "symbol": np.where(table["simulated"] > 0, "disc", "square"),
        "border_color": RIM_ROLLOUT,
        "border_width": 0.06,
        "opacity": 0.9,
        **colours,
    }
    return to_napari(table), arguments, "points"


def _tracks(
    scene: Scene, table: pd.DataFrame, name: str, kind: str, more: dict[str, Any], colours: dict[str, Any]
) -> LayerData:
    table = table.sort_values(["particle", "frame"], kind="stable").reset_index(drop=True)
    arguments = scene.arguments(name, kind, identified=scene.identified, **more)
    arguments |= TAILS | {"features": table.drop(columns=["x", "y"]), **colours}
    return tracks_to_napari(table), arguments, "tracks"


def _radii(scene: Scene) -> pd.DataFrame:
    if "radius_px" not in scene.table:
        return pd.DataFrame({"particle": scene.table["particle"].unique(), "radius_px": np.nan})
    return scene.table.groupby("particle", as_index=False)["radius_px"].median()

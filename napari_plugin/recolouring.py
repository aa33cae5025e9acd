"""Colouring what is shown of a run by another quantity: its discs, its smooth map, or its rollout."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from napari.layers import Layer

from napari_plugin import particle_layers as drawn
from napari_plugin.appearance import expect
from napari_plugin.quantities import Quantity, colormap, colourable, describe, limits
from napari_plugin.scene import NOT_IDENTIFIED
from napari_plugin.shown_runs import ShownRun, about, tell

PARTICLES, ROLLOUT = "particles", "rollout"

_COLOURED = ("coloured", "map", "rollout")
"""Kinds of layers of which one choice is seen at a time."""

_NO_QUANTITY = {"simulated", "radius_px"}
"""Columns of a rollout that are given, not found."""

_DETECTION = {"mass", "size", "ecc", "signal", "raw_mass", "ep", "radius_px", "chi2", "link_margin"}
_DETECTION |= {"sigma_x_px", "sigma_y_px", "sigma_px"}


@dataclass(frozen=True)
class Choice:
    """What is coloured: a column of the particles that were tracked, or of the rollout."""

    column: str
    source: str = PARTICLES

    @property
    def quantity(self) -> Quantity:
        return describe(self.column)


@dataclass(frozen=True)
class Look:
    """Colour map, and the values at its ends."""

    colours: str
    low: float
    high: float


def choices(shown: ShownRun) -> list[Choice]:
    """Everything by which a run can be coloured, by `group`."""
    found = [Choice(column) for column in colourable(shown.scene.table)]
    rollout = shown.rollout
    if rollout is not None:
        found += [Choice(c, ROLLOUT) for c in colourable(rollout) if c not in _NO_QUANTITY]
    return sorted(found, key=group)


def group(choice: Choice) -> tuple[int, int]:
    """Where a choice stands: what has layers of its own, what was found else, the rollout's, how it was tracked."""
    column = choice.column
    if choice.source == ROLLOUT:
        return 2, 0
    if column in drawn.SHOWN:
        return 0, drawn.SHOWN.index(column)
    return (3 if column in _DETECTION or column.startswith("track_") else 1), 0


def title(shown: ShownRun, choice: Choice) -> str:
    """Name of a choice with its unit, and with "not identified" where the fit says so."""
    name = shown.scene.title(choice.quantity)
    return name if choice.source == PARTICLES else f"rollout: {name}"


def is_doubtful(shown: ShownRun, choice: Choice) -> bool:
    """Does the fit say that the recording does not determine this?"""
    return choice.quantity.learned and not shown.scene.identified


def table_of(shown: ShownRun, choice: Choice) -> pd.DataFrame:
    """The table that has the column of a choice."""
    rollout = shown.rollout if choice.source == ROLLOUT else None
    return shown.scene.table if rollout is None else rollout


def usual_look(table: pd.DataFrame, quantity: Quantity) -> Look:
    """A quantity's own colour map, from the 1st to the 99th percentile of all frames."""
    return Look(quantity.colours, *limits(table[quantity.column], quantity))


def seen_choice(shown: ShownRun) -> Choice | None:
    """What the topmost visible layer of a run is coloured by."""
    for layer in reversed(shown.layers):
        if layer.visible and (choice := choice_of(layer)) is not None:
            return choice
    return None


def choice_of(layer: Any) -> Choice | None:
    """What a layer is coloured by; None for one that shows no quantity of particles."""
    kind, column = about(layer).get("kind"), about(layer).get("quantity")
    if kind in ("coloured", "map") and column:
        return Choice(column)
    if kind == "rollout":
        return Choice(column or "error_px", ROLLOUT)
    return None


def show_choice(viewer: Any, shown: ShownRun, choice: Choice, look: Look, *, smooth: bool) -> Any:
    """Colour a run by a quantity: that layer is seen, the run's other coloured ones are not.

    Parameters
    ----------
    viewer : napari.Viewer or napari.components.ViewerModel
    shown : ShownRun
    choice : Choice
        Temperature and others that have a layer have it coloured; all others share one further layer.
    look : Look
    smooth : bool
        Show the smooth map too.

    Returns
    -------
    napari.layers.Points
        The layer that was coloured.
    """
    active = viewer.layers.selection.active
    layer = _rollout(shown, choice) if choice.source == ROLLOUT else _discs(viewer, shown, choice)
    colour_points(layer, choice.column, look)
    seen = [layer]
    if smooth and choice.source == PARTICLES and shown.scene.n_space == 2:
        field = _map(viewer, shown, choice)
        field.colormap = colormap(look.colours)
        field.contrast_limits = (look.low, look.high)
        seen.append(field)
    older = [x for x in shown.older if about(x)["kind"] in _COLOURED]
    for other in {*shown.of(*_COLOURED), *older, *seen}:
        # Being told twice costs napari as much as a change.
        if other.visible != (other in seen):
            other.visible = other in seen
    # A new layer is selected by napari; who was selecting particles in another one goes on there.
    viewer.layers.selection.active = active
    return layer


def colour_points(layer: Any, column: str, look: Look) -> None:
    """Colours of a Points layer by a column of its features."""
    if str(layer.face_color_mode) != "colormap" or layer._face.color_properties.name != column:
        layer.face_color = column
    if layer.face_colormap.name != look.colours:
        layer.face_colormap = colormap(look.colours)
    if tuple(layer.face_contrast_limits) != (look.low, look.high):
        layer.face_contrast_limits = (look.low, look.high)


def has_map(shown: ShownRun) -> bool:
    """Is a smooth map of this run seen?"""
    return any(layer.visible for layer in shown.of("map"))


def _discs(viewer: Any, shown: ShownRun, choice: Choice) -> Any:
    scene, quantity = shown.scene, choice.quantity
    own = [layer for layer in shown.of("coloured") if about(layer)["quantity"] == choice.column]
    if own:
        return own[0]
    data, arguments, kind = drawn.coloured(scene, quantity, visible=False)
    # As numbers: of a few whole ones napari would take each for a class of its own.
    features = arguments["features"].astype({choice.column: np.float64})
    shared = [layer for layer in shown.of("coloured") if about(layer).get("shared")]
    if not shared:
        layer = Layer.create(data, {**arguments, "features": features}, kind)
        tell(layer, shared=True)
        return _insert(viewer, shown, layer, ("coloured", "map"))
    [layer] = shared
    before = about(layer)["quantity"]
    # The colours must not lose their column before they have another one.
    layer.features = features.assign(**{before: layer.features[before]})
    layer.face_color = choice.column
    layer.features = features
    tell(layer, **scene.about(quantity))
    layer.name = arguments["name"]
    return layer


def _map(viewer: Any, shown: ShownRun, choice: Choice) -> Any:
    maps = shown.of("map")
    own = [layer for layer in maps if about(layer)["quantity"] == choice.column]
    if own:
        return own[0]
    for layer in maps:
        if about(layer).get("shared"):
            viewer.layers.remove(layer)
    layer = Layer.create(*drawn.smooth_map(shown.scene, choice.quantity))
    tell(layer, shared=True)
    return _insert(viewer, shown, layer, ("map", "video", "preview"))


def _rollout(shown: ShownRun, choice: Choice) -> Any:
    layer = shown.rollout_layer()
    tell(layer, quantity=choice.column)
    which = f"rollout {about(layer)['member'] + 1} of {about(layer)['n_members']}"
    layer.name = f"{which}, {shown.scene.title(choice.quantity)}"
    return layer


def _insert(viewer: Any, shown: ShownRun, layer: Any, below: tuple[str, ...]) -> Any:
    """Put a layer on top of those of some kinds."""
    places = [viewer.layers.index(other) for other in shown.of(*below) if other in viewer.layers]
    expect(viewer, [layer])
    viewer.layers.insert(max(places, default=-1) + 1, layer)
    return layer


def doubt(shown: ShownRun, choice: Choice) -> str:
    """A sentence where colours are no measurement; empty otherwise."""
    if not is_doubtful(shown, choice):
        return ""
    return (
        f"{choice.quantity.title[:1].upper()}{choice.quantity.title[1:]} is {NOT_IDENTIFIED}: the likelihood does "
        "not tell it from a constant, so these values are no measurement."
    )

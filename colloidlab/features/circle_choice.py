"""What bounds the circles of a recording: edges or lines, bright or dark."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from colloidlab.features.circles import CircleSearch, find_circles
from colloidlab.features.outlines import Outline

_FRAMES = 2
_LINE_GAIN = 1.6
"""An edge is w I' and a line w^2 I'' strong: beside a line there are edges and beside an edge lines, which are
0.61 times as strong where the smoothing is all the blur there is, and less where there is more."""
_NAMES = {
    ("edge", False): "edges of bright discs",
    ("edge", True): "edges of dark discs",
    ("line", False): "bright rings",
    ("line", True): "dark rings",
}


@dataclass(frozen=True)
class CircleChoice:
    """What to look for, whether in the inverted image, and one sentence that says why."""

    search: CircleSearch
    invert: bool
    reason: str


def choose_circles(
    images: Sequence[np.ndarray], radii_px: tuple[float, float], *, dark: bool | None
) -> CircleChoice:
    """The kind of outline that circles of these radii explain most of.

    Parameters
    ----------
    images : sequence of array, shape (height, width)
        Finite grey levels, as recorded; the first and the last are looked at.
    radii_px : (float, float)
        Least and largest radius.
    dark : bool or None
        The discs or rings are dark; both are tried where it is not known.
    """
    looked_at = [images[0], images[-1]][: min(len(images), _FRAMES)]
    kinds: list[tuple[Outline, bool]] = [
        (outline, invert)
        for outline in ("edge", "line")
        for invert in (False, True)
        if dark in (None, invert)
    ]
    explained = {kind: _explained(looked_at, radii_px, *kind) for kind in kinds}
    best = max(explained, key=lambda kind: explained[kind])
    others = max((explained[kind] for kind in kinds if kind != best), default=0.0)
    ratio = f"{explained[best] / others:.1f} times as much outline as any other kind" if others else "all"
    reason = f"circles through {_NAMES[best]} explain {ratio}; radii {radii_px[0]:g} to {radii_px[1]:g} px"
    return CircleChoice(CircleSearch(radii_px, best[0]), best[1], reason)


def _explained(
    images: Sequence[np.ndarray], radii_px: tuple[float, float], outline: Outline, invert: bool
) -> float:
    """Strength of outlines summed along circles; those that cover more of themselves count for more."""
    total = 0.0
    gain = _LINE_GAIN if outline == "line" else 1.0
    for image in images:
        grey = np.asarray(image, dtype=np.float32)
        fit = find_circles(-grey if invert else grey, CircleSearch(radii_px, outline))
        total += gain * float((fit.support**2 * fit.strength * fit.circles[:, 2]).sum())
    return total

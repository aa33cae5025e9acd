"""What `locate` needs to know about a recording, and how each value was found."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from colloidlab.features.circles import CircleSearch
from colloidlab.features.template import Template

Method = Literal["auto", "joint", "centroid", "circles"]
"""Where positions come from: a joint fit of overlapping particles, each particle's centroid, or circles
through edges; "auto" is joint wherever the fit describes the image, else centroid."""

_SEPARATION_PER_DIAMETER = 2.0 / 3.0


@dataclass(frozen=True)
class LocateParameters:
    """Options of `locate` for one recording.

    Attributes
    ----------
    diameter_px : int
        Odd size of a particle's image.
    minmass : float
        Least integrated brightness after the band-pass, grey levels.
    separation_px : float
        Least distance between two centres.
    invert : bool
        The particles are darker than the background.
    method : str
        See `Method`; one choice for a whole recording keeps positions comparable between frames.
    template : Template, optional
        The image of a particle that "joint" fits; learned from each frame where there is none.
    circles : CircleSearch, optional
        Radii and outline that "circles" looks for.
    minsignal : float
        Least brightness of a particle's brightest pixel after the band-pass, grey levels; bright gaps between
        particles are fainter.
    reasons : dict
        For each value one sentence: how it was found, or that the user gave it.
    """

    diameter_px: int
    minmass: float
    separation_px: float
    invert: bool = False
    method: Method = "auto"
    template: Template | None = None
    circles: CircleSearch | None = None
    minsignal: float = 0.0
    reasons: dict[str, str] = field(default_factory=dict)


def default_separation(diameter_px: int) -> float:
    """Least distance between centres that keeps touching particles, px: two thirds of the diameter.

    A particle's diameter is chosen wide enough to hold its blurred rim, so that centres of touching
    particles are closer than one diameter; trackpy's default of one diameter and one pixel loses a third to
    a half of them.
    """
    return float(max(2, round(_SEPARATION_PER_DIAMETER * diameter_px)))

"""Estimating the options of `locate` from a few frames of a recording."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, get_args

import numpy as np
import pandas as pd

from colloidlab.errors import InputError, UsageError
from colloidlab.features.centroid import find_centroids
from colloidlab.features.circle_choice import choose_circles
from colloidlab.features.gaps import LeastSignal, least_signal
from colloidlab.features.images import check_diameter, usable
from colloidlab.features.joint_choice import choose_method
from colloidlab.features.masses import LeastMass, least_mass
from colloidlab.features.parameters import LocateParameters, Method, default_separation
from colloidlab.features.scales import Blobs, Neighbours, diameter_from_scale, diameter_in_contact, find_blobs
from colloidlab.features.template import Template
from colloidlab.features.template_learning import learn
from colloidlab.progress import SILENT, Monitor

Polarity = Literal["auto", "bright", "dark"]

_GIVEN = "given by the user"
_FRAMES = 6
_WIDE_PX = 41
_ELONGATED = 0.35
"""Mean eccentricity of the features of rods; spots and rings have less than 0.2."""
_IN_CONTACT = 0.85
"""Separation in typical distances of touching particles, some of which are a little nearer."""
_SPARSE = 1.3
"""Where scattered particles stay farther apart than so many diameters, what is nearer is one particle's own rings."""
_SCALE_FRAMES = 3
"""Frames for the sweep over scales, which costs most."""


def estimate(
    images: Sequence[np.ndarray],
    *,
    polarity: Polarity = "auto",
    diameter_px: int | None = None,
    minmass: float | None = None,
    separation_px: float | None = None,
    method: Method = "auto",
    radii_px: tuple[float, float] | None = None,
    minsignal: float | None = None,
) -> LocateParameters:
    """Find what `locate` needs to know, from some frames of a recording.

    Polarity is the one with more energy in round blobs; the diameter is that of the typical blob; the least
    mass lies in a gap of the masses or cuts their light tail; the least signal leaves out bright gaps between
    particles; the separation lets particles touch.

    Parameters
    ----------
    images : sequence of array, shape (height, width)
        Frames from the whole length of the recording; at most six are used.
    polarity : {"auto", "bright", "dark"}
    diameter_px, minmass, separation_px, minsignal : optional
        Values of the user, which are kept.
    method : {"auto", "joint", "centroid", "circles"}
        See `Method`.
    radii_px : (float, float), optional
        Least and largest radius of circles; the method "circles" needs it.

    Returns
    -------
    LocateParameters
        With one sentence for every value in `reasons`.

    Raises
    ------
    InputError
        No image, or no blob in any of them.
    UsageError
        The diameter is not odd, the polarity or the method is unknown, or circles lack their radii.
    """
    return Estimator(images).estimate(
        polarity=polarity,
        diameter_px=diameter_px,
        minmass=minmass,
        separation_px=separation_px,
        method=method,
        radii_px=radii_px,
        minsignal=minsignal,
    )


class Estimator:
    """Some frames of a recording, of which options are estimated for one wish after the other.

    What does not depend on what has changed is not computed again: blobs of a polarity, and features of a
    diameter and separation.

    Parameters
    ----------
    images : sequence of array, shape (height, width)
        As for `estimate`.
    """

    def __init__(self, images: Sequence[np.ndarray]) -> None:
        self._frames = _spread([usable(image, invert=False).image for image in images])
        self._blobs: dict[bool, Blobs] = {}
        self._features: tuple[Any, list[np.ndarray], list[pd.DataFrame]] = (None, [], [])

    def estimate(
        self,
        *,
        polarity: Polarity = "auto",
        diameter_px: int | None = None,
        minmass: float | None = None,
        separation_px: float | None = None,
        method: Method = "auto",
        radii_px: tuple[float, float] | None = None,
        minsignal: float | None = None,
        monitor: Monitor = SILENT,
    ) -> LocateParameters:
        """As the function `estimate`; `monitor` is asked between the steps."""
        if method not in get_args(Method):
            raise UsageError(f"method {method!r} is unknown; choose one of {', '.join(get_args(Method))}")
        if polarity not in ("auto", "bright", "dark"):
            raise UsageError(f"polarity {polarity!r} is unknown; choose auto, bright or dark")
        if method == "circles":
            return _circles(self._frames, polarity, diameter_px, separation_px, radii_px)
        reasons: dict[str, str] = {}
        invert, blobs = self._polarity(
            polarity, must_show=diameter_px is None, reasons=reasons, monitor=monitor
        )
        neighbours = blobs.neighbours
        if diameter_px is not None:
            diameter, reasons["diameter_px"] = check_diameter(diameter_px), _GIVEN
        else:
            wide = diameter_from_scale(blobs.scale)
            diameter = diameter_in_contact(wide, neighbours.contact_px)
            reasons["diameter_px"] = (
                f"blobs of width {blobs.scale:.2g} px respond most; three widths and 5 px"
            )
            if diameter < wide:
                reasons["diameter_px"] += f", but neighbours are {neighbours.contact_px:.2g} px apart"
        if separation_px is not None:
            separation, reasons["separation_px"] = float(separation_px), _GIVEN
        else:
            separation, reasons["separation_px"] = _separation(diameter, neighbours)
        bright, found = self._found(invert, diameter, separation, monitor)
        least, faintest, kept = _kept(found, diameter, minmass, minsignal)
        reasons["minmass"], reasons["minsignal"] = least.reason, faintest.reason
        chosen, template, reasons["method"] = _method(bright, kept, diameter, method, monitor)
        if chosen == "centroid":
            reasons["method"] += _warning(diameter, kept)
        return LocateParameters(
            diameter,
            least.minmass,
            separation,
            invert,
            chosen,
            template,
            minsignal=faintest.minsignal,
            reasons=reasons,
        )

    def _polarity(
        self, polarity: Polarity, *, must_show: bool, reasons: dict[str, str], monitor: Monitor
    ) -> tuple[bool, Blobs]:
        """Are the particles dark? And the blobs of that polarity, of which there `must_show` some."""
        if polarity == "auto":
            bright, dark = self._found_blobs(False, monitor), self._found_blobs(True, monitor)
            if bright.energy == dark.energy == 0:
                raise InputError("the frames hold nothing like a particle; give --diameter-px and --polarity")
            invert = dark.energy > bright.energy
            ratio = max(dark.energy, bright.energy) / max(min(dark.energy, bright.energy), 1e-300)
            more = f"{ratio:.1f} times" if ratio < 1000 else "far"
            words = ("dark", "bright") if invert else ("bright", "dark")
            reasons["polarity"] = (
                f"{words[0]}: round {words[0]} blobs hold {more} more energy than {words[1]} ones"
            )
            return invert, dark if invert else bright
        reasons["polarity"] = _GIVEN
        invert = polarity == "dark"
        blobs = self._found_blobs(invert, monitor)
        if must_show and blobs.energy == 0:
            raise InputError(
                f"the frames hold nothing like a {polarity} particle; give --diameter-px or --polarity"
            )
        return invert, blobs

    def _found_blobs(self, dark: bool, monitor: Monitor) -> Blobs:
        if dark not in self._blobs:
            monitor.update("blobs", len(self._blobs), 2)
            looked_at = self._frames[:: max(1, len(self._frames) // _SCALE_FRAMES)][:_SCALE_FRAMES]
            self._blobs[dark] = find_blobs(looked_at, dark=dark)
        return self._blobs[dark]

    def _found(
        self, invert: bool, diameter_px: int, separation_px: float, monitor: Monitor
    ) -> tuple[list[np.ndarray], list[pd.DataFrame]]:
        """The frames with bright particles, and all features of each of them."""
        key, bright, found = self._features
        if key != (invert, diameter_px, separation_px):
            bright = [usable(image, invert=invert).image for image in self._frames]
            found = [
                find_centroids(image, diameter_px, minmass=0.0, separation_px=separation_px)
                for image in monitor.track(bright, "features")
            ]
            self._features = ((invert, diameter_px, separation_px), bright, found)
        return bright, found


def _separation(diameter_px: int, neighbours: Neighbours) -> tuple[float, str]:
    """Least distance between centres for neighbours that are this near, and why."""
    contact_px = neighbours.contact_px
    touching, sparse = default_separation(diameter_px), float(diameter_px + 1)
    if _IN_CONTACT * contact_px < touching:
        return _IN_CONTACT * contact_px, f"a little less than the {contact_px:.2g} px between neighbours"
    if neighbours.scattered and contact_px > _SPARSE * sparse:
        return sparse, f"a diameter and a pixel, for neighbours are {contact_px:.2g} px apart"
    return touching, "two thirds of the diameter, so that touching particles are kept apart"


def _warning(diameter_px: int, kept: list[pd.DataFrame]) -> str:
    """What centroids do badly: wide discs, whose light has no peak, and rods, of which they say no direction."""
    if diameter_px >= _WIDE_PX:
        return "; particles this wide are better located by their outlines: try --method circles"
    together = pd.concat(kept, ignore_index=True)
    if len(together) and np.average(together["ecc"], weights=together["mass"]) > _ELONGATED:
        return (
            "; the particles are elongated: a centroid is that of their light, and long ones may count twice"
        )
    return ""


def _kept(
    found: list[pd.DataFrame], diameter_px: int, minmass: float | None, minsignal: float | None
) -> tuple[LeastMass, LeastSignal, list[pd.DataFrame]]:
    """Thresholds that were given or are estimated, and the features that reach them."""
    if minmass is not None:
        least = LeastMass(float(minmass), _GIVEN)
    else:
        together = pd.concat(found, ignore_index=True)
        least = least_mass(together["mass"].to_numpy(), together["signal"].to_numpy())
    heavy = [table[table["mass"] > least.minmass] for table in found]
    if minsignal is not None:
        faintest = LeastSignal(float(minsignal), _GIVEN)
    else:
        faintest = least_signal(heavy, diameter_px)
    bright = [table[table["signal"] >= faintest.minsignal].reset_index(drop=True) for table in heavy]
    return least, faintest, bright


def _method(
    bright: list[np.ndarray], kept: list[pd.DataFrame], diameter: int, method: Method, monitor: Monitor
) -> tuple[Method, Template | None, str]:
    if method == "centroid":
        return method, None, _GIVEN
    if method == "joint":
        return method, learn(bright, kept, diameter, monitor), _GIVEN
    choice = choose_method(bright, kept, diameter, monitor)
    return choice.method, choice.template, choice.reason


def _circles(
    frames: list[np.ndarray],
    polarity: Polarity,
    diameter_px: int | None,
    separation_px: float | None,
    radii_px: tuple[float, float] | None,
) -> LocateParameters:
    """Options of the method "circles": the kind of outline is found, the radii are the user's."""
    if radii_px is None:
        raise UsageError(
            "the method circles needs the least and the largest radius; give --radius-min-px and --radius-max-px"
        )
    if not 0 < radii_px[0] <= radii_px[1]:
        raise UsageError(
            f"radii from {radii_px[0]:g} to {radii_px[1]:g} px are no range; give the smaller one first"
        )
    choice = choose_circles(frames, radii_px, dark=None if polarity == "auto" else polarity == "dark")
    reasons = {"method": _GIVEN, "circles": choice.reason}
    diameter, reasons["diameter_px"] = 2 * round(radii_px[1]) + 1, "the largest circle"
    if diameter_px is not None:
        diameter, reasons["diameter_px"] = check_diameter(diameter_px), _GIVEN
    return LocateParameters(
        diameter,
        0.0,
        separation_px or radii_px[0],
        choice.invert,
        "circles",
        circles=choice.search,
        reasons=reasons,
    )


def _spread(frames: list[np.ndarray]) -> list[np.ndarray]:
    """At most six frames, evenly over the recording."""
    if not frames:
        raise InputError("no image to estimate the options from; the recording has no usable frame")
    chosen = np.unique(np.linspace(0, len(frames) - 1, _FRAMES).astype(int))
    return [frames[i] for i in chosen]

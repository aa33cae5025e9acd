"""Linking features into tracks.

References
----------
Crocker and Grier, J. Colloid Interface Sci. 179, 298 (1996), for the objective "squared".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal

import numpy as np
import pandas as pd

from colloidlab.errors import UsageError
from colloidlab.progress import SILENT, Monitor
from colloidlab.tracks import checks, costs
from colloidlab.tracks.assignment import Floats, Integers
from colloidlab.tracks.chain import follow
from colloidlab.tracks.fields import Kind
from colloidlab.tracks.likelihood import LEAST_LINKS, Law, learn
from colloidlab.tracks.prediction import Expectation, Prediction, expect
from colloidlab.tracks.search_range import starting_range

Objective = Literal["squared", "likelihood"]


@dataclass(frozen=True)
class LinkChoice:
    """How a recording was linked, and why.

    Parameters
    ----------
    search_range_px : float
        Longest possible link from one frame to the next, from where the particle is expected.
    objective : {"squared", "likelihood"}
    prediction : {"none", "drift", "affine", "flow"}
    step_px : float
        Standard deviation of a displacement per axis and frame, from where the particle is expected.
    wrong_links : float
        Share of wrong links that the margins speak of; rather low where particles have several rivals. NaN
        where there is no link.
    reason : str
    """

    search_range_px: float
    objective: Objective
    prediction: Kind
    step_px: float
    wrong_links: float
    reason: str


def link(
    features: pd.DataFrame,
    search_range_px: float | Sequence[float],
    *,
    memory: int = 0,
    objective: Objective = "squared",
    prediction: Prediction = "none",
    monitor: Monitor = SILENT,
) -> pd.DataFrame:
    """Give every feature the identity of its particle.

    By default the links from frame to frame minimise the sum of squared displacements plus R^2 for every
    particle that finds no feature, exactly and however dense the features are: `trackpy.link` gives the
    same links wherever it finishes. Particles compete for `memory` frames more from the place where they
    were last seen.

    Parameters
    ----------
    features : DataFrame
        Columns frame, x, y (z where there is one); others are kept.
    search_range_px : float or sequence of float
        Farthest move R between two sightings, px; one value, or as trackpy has it one per axis in the order
        (y, x) or (z, y, x). With a prediction it counts from where the particle is expected; with the
        likelihood it is for one frame and grows over gaps as displacements do.
    memory : int
        Frames that a particle may be absent and keep its identity. Frames that the table lacks count.
    objective : {"squared", "likelihood"}
        "likelihood" learns from a first linking what a displacement, a gap and a new feature are worth.
    prediction : {"none", "drift", "affine", "flow", "auto"}
        Common motion that is expected of every particle.
    monitor : Monitor

    Returns
    -------
    DataFrame
        A copy with `particle` (int64), sorted by frame, with the rows of a frame in the order and with
        the index that they had.

    Raises
    ------
    InputError
        A column is missing, a position is not finite, a frame is not a whole number.
    UsageError
        The range or the memory is impossible.
    """
    if objective == "squared" and prediction == "none":
        table, frame, names = _in_order(features)
        positions = table[names].to_numpy()
        return table.assign(particle=link_arrays(frame, positions, search_range_px, memory=memory))
    reach, scale = checks.ranges(search_range_px, len(checks.axes(features)))
    if scale is not None:
        raise UsageError(
            "a range for each axis goes with objective squared and prediction none; give one value"
        )
    linked, _ = link_automatically(
        features,
        search_range_px=reach,
        memory=memory,
        objective=objective,
        prediction=prediction,
        monitor=monitor,
    )
    return linked.drop(columns="link_margin")


def link_automatically(
    features: pd.DataFrame,
    *,
    search_range_px: float | None = None,
    memory: int = 0,
    objective: Objective = "likelihood",
    prediction: Prediction = "auto",
    monitor: Monitor = SILENT,
) -> tuple[pd.DataFrame, LinkChoice]:
    """Link features with everything that the recording itself says of the motion.

    Parameters
    ----------
    features : DataFrame
        As for `link`.
    search_range_px : float, optional
        Farthest move over one frame from where a particle is expected, px [estimated].
    memory, objective, prediction, monitor
        As for `link`.

    Returns
    -------
    table : DataFrame
        As `link` returns it, and `link_margin`: how much less likely the best set of links is without the one
        that joins this row to the past, in nats of log-likelihood; NaN where a track begins.
    choice : LinkChoice

    Raises
    ------
    InputError
        As `link`; also when no range is given and no particle can be followed from one frame into the next.
    UsageError
        The range or the memory is impossible.
    """
    table, frame, names = _in_order(features)
    positions = checks.finite_positions(frame, table[names].to_numpy())
    frames_away = checks.frames_of_memory(memory)
    given = None if search_range_px is None else checks.ranges(search_range_px, 1)[0]
    expected = expect(frame, positions, prediction, monitor)
    reach = given if given is not None else starting_range(expected)
    chain = partial(follow, frame, positions, memory=frames_away, motion=expected.motion)
    law = None
    if objective == "likelihood":
        monitor.update("link", 0, 2)
        first = chain(costs.squared(reach)).particle
        law = learn(frame, positions, first, motion=expected.motion, memory=frames_away, reach_px=reach)
    monitor.update("link", 1, 2)
    objective_used = costs.squared(reach) if law is None else law.costs(given)
    found = chain(objective_used, margins=True)
    monitor.update("link", 2, 2)
    step = expected.step_px if law is None else law.step_px
    # A squared displacement in units of twice the variance is a normal distribution's log-likelihood.
    margin = found.margin / (2.0 * max(step, 1e-3) ** 2) if law is None else found.margin
    choice = LinkChoice(
        search_range_px=float(objective_used.reach[0]),
        objective="squared" if law is None else "likelihood",
        prediction=expected.kind,
        step_px=step,
        wrong_links=_wrong(margin),
        reason=_reason(expected, law, objective),
    )
    return table.assign(particle=found.particle, link_margin=margin), choice


def _wrong(margin: Floats) -> float:
    """Mean probability that the second-best set of links is the true one, link by link."""
    known = margin[~np.isnan(margin)]
    return float(np.mean(1.0 / (1.0 + np.exp(np.minimum(known, 700.0))))) if len(known) else float("nan")


def _reason(expected: Expectation, law: Law | None, objective: Objective) -> str:
    if law is None:
        why = (
            ""
            if objective == "squared"
            else f"; fewer than {LEAST_LINKS} links, too few to learn their likelihood"
        )
        return f"{expected.reason}; least squared displacements{why}"
    return (
        f"{expected.reason}; likelihood of steps of {law.step_px:.2g} px per axis, of being seen in the next frame "
        f"({100 * law.seen[0]:.3g} %) and of new features"
    )


def link_arrays(
    frame: np.ndarray, positions: np.ndarray, search_range_px: float | Sequence[float], *, memory: int = 0
) -> Integers:
    """Identity of the particle of every row, as `link` finds it, without a table.

    Parameters
    ----------
    frame : int array, shape (n,)
        In any order.
    positions : float array, shape (n, 2) or (n, 3), px
    search_range_px : float or sequence of float
        One value, or one for each column of `positions`.
    memory : int

    Returns
    -------
    int64 array, shape (n,)
        Numbered from 0 in the order of first appearance.

    Raises
    ------
    InputError, UsageError
        As `link`.
    """
    frames = checks.whole_frames(np.asarray(frame))
    points = checks.finite_positions(frames, np.asarray(positions))
    reach, scale = checks.ranges(search_range_px, points.shape[1])
    frames_away = checks.frames_of_memory(memory)
    order = None
    if (frames[1:] < frames[:-1]).any():
        order = np.argsort(frames, kind="stable")
        frames, points = frames[order], points[order]
    particle = follow(frames, points, costs.squared(reach), memory=frames_away, scale=scale).particle
    if order is not None:
        particle[order] = particle.copy()
    return particle


def _in_order(features: pd.DataFrame) -> tuple[pd.DataFrame, Integers, list[str]]:
    """The table in rising order of frame, its frames, and the position columns."""
    names = checks.axes(features)
    frame = checks.whole_frames(features["frame"].to_numpy())
    table = features.assign(frame=frame)
    if (frame[1:] < frame[:-1]).any():
        order = np.argsort(frame, kind="stable")
        table, frame = table.iloc[order], frame[order]
    return table, frame, names

"""Locating the particles of one image after the other."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import pandas as pd

from colloidlab.errors import InputError
from colloidlab.features.location import locate
from colloidlab.features.parameters import LocateParameters
from colloidlab.progress import SILENT, Monitor


def locate_frames(
    frames: Iterable[tuple[int, np.ndarray]],
    parameters: LocateParameters,
    *,
    monitor: Monitor = SILENT,
    total: int = 0,
) -> Iterator[tuple[int, pd.DataFrame]]:
    """Locate the particles of one image after the other, holding one at a time.

    Parameters
    ----------
    frames : iterable of (index, image)
        As a video gives them.
    parameters : LocateParameters
        From `estimate`, or made by hand.
    monitor : Monitor
        Told of every frame.
    total : int
        Number of frames, where it is known; only for the progress.

    Yields
    ------
    index : int
    features : DataFrame
        As `locate` gives it.

    Raises
    ------
    InputError
        As `locate`, with the index of the frame.
    """
    for index, image in monitor.track(frames, "locate", total):
        try:
            features = locate(
                image,
                parameters.diameter_px,
                minmass=parameters.minmass,
                separation_px=parameters.separation_px,
                invert=parameters.invert,
                method=parameters.method,
                template=parameters.template,
            )
        except InputError as error:
            raise InputError(f"frame {index}: {error}") from None
        yield index, features

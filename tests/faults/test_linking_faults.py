"""Positions that leave nothing to learn, or mislead: linking ends in tracks or in one sentence."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from colloidlab.errors import InputError
from colloidlab.tracks import (
    estimate_motion,
    estimate_search_range,
    link_automatically,
    subtract_motion,
    track_quality,
)


def table(places: np.ndarray, frames: list[int] | None = None) -> pd.DataFrame:
    """Every position, shape (n_frames, n, d), in frames 0, 1, 2, ... or those given."""
    n_frames, n, d = places.shape
    numbers = np.arange(n_frames) if frames is None else np.array(frames)
    return pd.DataFrame({"frame": np.repeat(numbers, n), **dict(zip("xyz", places.reshape(-1, d).T))})


def wandering(rng: np.random.Generator, n: int, d: int = 2, n_frames: int = 9) -> np.ndarray:
    return np.cumsum(rng.normal(0, 0.5, (n_frames, n, d)), axis=0) + rng.uniform(0, 200, (n, d))


def channel(rng: np.random.Generator) -> np.ndarray:
    along = 15.0 * np.arange(100) + 2.0 * np.arange(20)[:, None]
    return np.stack([along, np.full(along.shape, 7.0)], axis=-1) + rng.normal(0, 0.5, (20, 100, 2))


RNG = np.random.default_rng(31)
SCENES: dict[str, tuple[pd.DataFrame, int | None]] = {
    "stuck": (table(np.repeat(RNG.uniform(0, 99, (1, 200, 2)), 10, axis=0)), 200),
    "all in one place": (table(np.zeros((5, 50, 2))), 50),
    "on one line": (
        table(np.stack([15.0 * np.arange(100) + RNG.normal(0, 0.5, (20, 100)), np.full((20, 100), 7.0)], -1)),
        100,
    ),
    "flowing through a channel": (table(channel(RNG)), 100),
    "one particle, far a frame, on a line": (
        table(np.stack([40.0 * np.arange(50)[:, None], np.zeros((50, 1))], axis=-1)),
        1,
    ),
    "a stack of one plane": (table(np.dstack([wandering(RNG, 80), np.zeros((9, 80))])), 80),
    "far from the origin": (table(wandering(RNG, 80) + 1e9), 80),
    "frames with gaps": (table(wandering(RNG, 80, n_frames=6), [0, 1, 5, 6, 7, 90]), None),
    "a crowd and a few far away": (
        table(np.concatenate([0.2 * wandering(RNG, 100), 20.0 * wandering(RNG, 10)], axis=1)),
        None,
    ),
    "whole pixels": (table(np.round(wandering(RNG, 100))), None),
    "no two frames alike": (table(RNG.uniform(0, 200, (6, 300, 2))), None),
    "two frames": (table(RNG.uniform(0, 99, (2, 60, 2))), None),
    "a hundredth of a pixel": (table(1e-4 * wandering(RNG, 80)), None),
}


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("memory", [0, 3])
@pytest.mark.parametrize("name", SCENES)
def test_every_scene_ends_in_tracks(name: str, memory: int) -> None:
    features, n_tracks = SCENES[name]
    linked, choice = link_automatically(features, memory=memory)
    assert len(linked) == len(features) and not linked.duplicated(["frame", "particle"]).any()
    if n_tracks is not None:
        assert linked["particle"].nunique() == n_tracks
    gap = linked.groupby("particle")["frame"].diff().max()
    assert np.isnan(gap) or gap <= memory + 1
    assert choice.search_range_px > 0 and choice.reason
    assert 0 < estimate_search_range(features, memory=memory).search_range_px < np.inf
    quality = track_quality(linked)
    assert quality["length"].sum() == len(linked)
    assert quality["ambiguity"].dropna().between(0, 1).all()
    motion = estimate_motion(linked)
    rest = subtract_motion(linked, motion)
    assert np.isfinite(rest[list(motion.axes)].to_numpy()).all()


@pytest.mark.parametrize("rows", [0, 1])
def test_nothing_to_follow_is_said_in_one_sentence(rows: int) -> None:
    features = table(np.zeros((1, 1, 2))).iloc[:rows]
    for function in (link_automatically, estimate_search_range):
        with pytest.raises(InputError, match="no particle can be followed"):
            function(features)


def test_links_of_scattered_positions_are_said_to_be_doubtful() -> None:
    """No particle is in two frames here. Slow ones of the same density are linked with confidence."""
    for seed in range(4):
        rng = np.random.default_rng(seed)
        _, scattered = link_automatically(table(rng.uniform(0, 200, (6, 300, 2))))
        _, slow = link_automatically(table(wandering(rng, 300)))
        assert scattered.wrong_links > 0.2 > 10 * slow.wrong_links

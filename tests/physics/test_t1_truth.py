"""The search for T1 events beside movies that were told when and where to have some."""

from __future__ import annotations

import numpy as np
import pandas as pd

from colloidlab.benchmarks.indicators_truth import exchange_rows
from colloidlab.indicators.t1_events import FOUR, match_events, t1_events
from colloidlab.indicators.triangulation import triangulate
from colloidlab.synthetic.exchanges import Exchanges, exchanging_crystal


def shares(found: pd.DataFrame, told: pd.DataFrame, movie: Exchanges) -> tuple[float, float]:
    """Recall and precision: the same four particles, within the persistence and one spacing."""
    names = pd.Series(np.arange(movie.n * 2))
    near = {"tolerance_frames": 10.0, "distance_px": movie.spacing, "names": names}
    matches = match_events(found, told, **near)
    # Those who parted are those who were told to, not the other two.
    one, two = found[FOUR].to_numpy()[matches["found"]], told[FOUR].to_numpy()[matches["truth"]]
    assert (one == two).all()
    return len(matches) / len(told), len(matches) / len(found)


def test_told_exchanges_are_found_and_nothing_else() -> None:
    recall, precision = (row for row in exchange_rows(1) if row.holds is not None)
    assert "recall" in recall.name and recall.value >= 0.95
    assert "precision" in precision.name and precision.value >= 0.95
    movie = Exchanges(n=900, n_frames=300)
    tracks, told = exchanging_crystal(np.random.default_rng(2), movie)
    assert len(told) > 50
    recall, precision = shares(t1_events(tracks), told, movie)
    assert recall >= 0.95 and precision >= 0.95
    # There are movements that do not last, and a shorter persistence takes them for events.
    assert shares(t1_events(tracks, persistence_frames=2), told, movie)[1] < 0.8


def test_the_movie_has_the_neighbours_that_it_was_told_to_have() -> None:
    still = Exchanges(n=400, n_frames=120, rattle=0, sigma=0, disorder=0, brief_share=0)
    tracks, told = exchanging_crystal(np.random.default_rng(3), still)
    edges = {
        frame: set(map(tuple, triangulate(shot[["x", "y"]].to_numpy()).edges[:, :2].tolist()))
        for frame, shot in tracks.groupby("frame")
    }
    assert len(told) > 5
    for event in told.itertuples():
        parted, met = (event.particle_a, event.particle_b), (event.particle_c, event.particle_d)
        before, after = edges[event.frame - 1], edges[event.frame]
        assert parted in before and met not in before
        assert parted not in after and met in after
    inner = tracks.groupby("particle")[["x", "y"]].first()
    low, high = inner.min() + 20, inner.max() - 20
    sure = set(inner.index[((inner > low) & (inner < high)).all(axis=1)])
    changed = sum(len([e for e in edges[k - 1] - edges[k] if sure.issuperset(e)]) for k in range(1, 120))
    assert changed == len(told)


def test_a_movie_seen_too_badly_fails() -> None:
    movie = Exchanges(n=400, n_frames=200, sigma=0.1, rattle=0.15)
    tracks, told = exchanging_crystal(np.random.default_rng(4), movie)
    recall, precision = shares(t1_events(tracks), told, movie)
    assert min(recall, precision) < 0.95

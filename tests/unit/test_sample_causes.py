"""Errors of positions in time, as the benchmark of the sample finds them."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from colloidlab.benchmarks.sample_causes import error_rows


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_the_share_that_stays_is_the_correlation(share: float) -> None:
    rng = np.random.default_rng(0)
    frame, particle = np.indices((40, 200)).reshape(2, -1)
    truth = (rng.uniform(80, 400, (200, 2)) + np.cumsum(rng.normal(0, 0.3, (40, 200, 2)), axis=0)).reshape(
        -1, 2
    )
    stays = rng.normal(0, np.sqrt(share), (200, 2))[particle]
    found = truth + stays + rng.normal(0, np.sqrt(1 - share), truth.shape)
    table = pd.DataFrame({"frame": frame, "particle": particle, "x": found[:, 0], "y": found[:, 1]})
    matched = table.assign(true_x=truth[:, 0], true_y=truth[:, 1])
    # A gap is no pair of frames, and the edge is left out.
    matched = matched[(matched["frame"] != 17) | (matched["particle"] > 5)]
    edge = matched[matched["particle"] == 0].assign(particle=999, true_x=10.0, x=500.0)
    *correlations, bent = error_rows(pd.concat([matched, edge]))
    for row in correlations:
        assert row.value == pytest.approx(share, abs=0.05)
    assert bent.value == pytest.approx(0, abs=0.05)


@pytest.mark.parametrize("blend", [0.0, 0.06])
def test_frames_that_blend_show_in_the_second_difference(blend: float) -> None:
    rng = np.random.default_rng(1)
    truth = 200 + np.cumsum(np.cumsum(rng.normal(0, 0.1, (60, 100, 2)), axis=0), axis=0)
    found = truth + rng.normal(0, 0.02, truth.shape)
    found[1:-1] += blend * (truth[2:] - 2 * truth[1:-1] + truth[:-2])
    frame, particle = np.indices((60, 100)).reshape(2, -1)
    columns = {"x": found[..., 0], "y": found[..., 1], "true_x": truth[..., 0], "true_y": truth[..., 1]}
    matched = pd.DataFrame(
        {"frame": frame, "particle": particle, **{k: v.ravel() for k, v in columns.items()}}
    )
    *_, bent = error_rows(matched)
    assert bent.value == pytest.approx(blend, abs=0.004)

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
    truth = rng.uniform(80, 400, (200, 2))[particle]
    stays = rng.normal(0, np.sqrt(share), (200, 2))[particle]
    found = truth + stays + rng.normal(0, np.sqrt(1 - share), truth.shape)
    table = pd.DataFrame({"frame": frame, "particle": particle, "x": found[:, 0], "y": found[:, 1]})
    matched = table.assign(true_x=truth[:, 0], true_y=truth[:, 1])
    # A gap is no pair of frames, and the edge is left out.
    matched = matched[(matched["frame"] != 17) | (matched["particle"] > 5)]
    edge = matched[matched["particle"] == 0].assign(particle=999, true_x=10.0, x=500.0)
    for row in error_rows(pd.concat([matched, edge])):
        assert row.value == pytest.approx(share, abs=0.05)

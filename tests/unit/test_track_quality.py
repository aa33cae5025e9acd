"""Quality of tracks: by hand."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from colloidlab.errors import InputError
from colloidlab.tracks import link_automatically, track_quality


def test_every_column_by_hand() -> None:
    tracks = pd.DataFrame(
        {
            "frame": [0, 0, 1, 3, 4, 7],
            "particle": [5, 2, 5, 5, 2, 9],
            "link_margin": [np.nan, np.nan, 3.0, 0.5, 2.0, np.nan],
            "sigma_x_px": [0.3, 0.1, 0.3, 0.6, 0.1, np.nan],
            "sigma_y_px": [0.4, 0.1, 0.4, 0.8, 0.1, np.nan],
        }
    )
    found = track_quality(tracks)
    assert found.columns.tolist() == [
        "particle",
        "first_frame",
        "last_frame",
        "length",
        "gaps",
        "ambiguity",
        "sigma_px",
    ]
    assert found["particle"].tolist() == [2, 5, 9]
    assert found["first_frame"].tolist() == [0, 0, 7] and found["last_frame"].tolist() == [4, 3, 7]
    assert found["length"].tolist() == [2, 3, 1]
    assert found["gaps"].tolist() == [3, 1, 0]
    np.testing.assert_allclose(found["ambiguity"], [np.exp(-2.0), np.exp(-0.5), np.nan])
    np.testing.assert_allclose(found["sigma_px"], [0.1, np.sqrt(0.125), np.nan])


def test_two_particles_that_may_have_changed_places_are_ambiguous() -> None:
    """Squares: links of length 1, the exchange costs 2 (9 + 1) - 2; a lone particle costs R^2 at most."""
    table = pd.DataFrame(
        {
            "frame": [0, 0, 0, 1, 1, 1],
            "x": [0.0, 4.0, 50.0, 1.0, 3.0, 51.0],
            "y": [0.0, 0.0, 50.0, 0.0, 0.0, 50.0],
        }
    )
    linked, choice = link_automatically(table, search_range_px=5.0, objective="squared", prediction="none")
    quality = track_quality(linked)
    rise = np.array([16.0, 16.0, 24.0])
    np.testing.assert_allclose(quality["ambiguity"], np.exp(-rise / (2 * choice.step_px**2)), rtol=1e-6)


def test_tracks_made_elsewhere_have_no_ambiguity() -> None:
    found = track_quality(pd.DataFrame({"frame": [0, 1], "particle": [1, 1]}))
    assert found["ambiguity"].isna().all() and found["sigma_px"].isna().all()
    with pytest.raises(InputError, match="no column particle"):
        track_quality(pd.DataFrame({"frame": [0]}))

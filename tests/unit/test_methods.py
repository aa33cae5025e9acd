"""The user's choice of a method reaches locating, and what a method needs is asked for in one sentence."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from pydantic import ValidationError

from colloidlab.config import TrackConfig
from colloidlab.errors import UsageError
from colloidlab.features import estimate, locate
from colloidlab.synthetic.crowded import SCENES, film


@pytest.fixture(scope="module")
def image() -> np.ndarray:
    return next(film(replace(SCENES["a"], size_px=220, n_particles=120), 1, seed=3))[0]


def test_a_given_method_is_kept(image: np.ndarray) -> None:
    for method in ("centroid", "joint"):
        found = estimate([image], method=method)
        assert found.method == method and found.reasons["method"] == "given by the user"
    assert estimate([image], method="joint").template is not None


def test_circles_ask_for_their_radii(image: np.ndarray) -> None:
    with pytest.raises(UsageError, match="radius-min-px"):
        estimate([image], method="circles")
    with pytest.raises(UsageError, match="smaller one first"):
        estimate([image], method="circles", radii_px=(9.0, 5.0))
    with pytest.raises(UsageError, match="CircleSearch"):
        locate(image, 15, method="circles")
    with pytest.raises(ValidationError, match="go together"):
        TrackConfig(method="circles", radius_min_px=3)
    with pytest.raises(ValidationError, match="go together"):
        TrackConfig(radius_min_px=3, radius_max_px=5)


def test_circles_are_found_with_their_radii() -> None:
    y, x = np.mgrid[:200, :300]
    true = [(50.3, 60.2, 20.0), (120.7, 90.1, 28.0), (210.2, 70.6, 20.0), (230.5, 140.4, 28.0)]
    grey = np.full(x.shape, 40.0)
    for cx, cy, r in true:
        grey += 100 * np.clip(r + 0.5 - np.hypot(x - cx, y - cy), 0, 1)
    grey += np.random.default_rng(0).normal(0, 4, grey.shape)
    image = np.clip(grey, 0, 255).astype(np.uint8)
    found = estimate([image], method="circles", radii_px=(15.0, 35.0))
    table = locate(
        image, found.diameter_px, method="circles", circles=found.circles, invert=found.invert
    ).sort_values("x")
    assert np.allclose(table[["x", "y", "radius_px"]], true, atol=0.3)


def test_minsignal_leaves_out_what_is_fainter(image: np.ndarray) -> None:
    everything = locate(image, 15, method="centroid", separation_px=10)
    level = float(everything["signal"].median())
    bright = locate(image, 15, method="centroid", separation_px=10, minsignal=level)
    assert len(bright) == (everything["signal"] >= level).sum() < len(everything)
    inverted = locate(255 - image, 15, method="centroid", separation_px=10, invert=True, minsignal=level)
    assert len(inverted) == len(bright)

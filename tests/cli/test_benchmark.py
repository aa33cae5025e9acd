"""The benchmark of the sample: what it says of the truth itself, and what it needs."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from colloidlab.benchmarks.rows import at_least, at_most
from colloidlab.benchmarks.sample import _match, _tracking, _true_laws, read_sample_folder, require_the_video
from colloidlab.dataset.recording import from_tracks, rectangle_edge_distance
from colloidlab.errors import InputError
from colloidlab.tables import read_parquet

SAMPLES = Path(__file__).parents[2] / "sample_videos"


@pytest.fixture(scope="module")
def truth() -> pd.DataFrame:
    table = read_parquet(SAMPLES / "sheared_monolayer_truth.parquet")
    return table[table["frame"] < 12].reset_index(drop=True)


def test_positions_with_a_known_error_are_measured_as_such(truth: pd.DataFrame) -> None:
    rng = np.random.default_rng(0)
    tracks = truth[["frame", "particle", "x", "y"]].copy()
    tracks[["x", "y"]] += 0.05 * rng.normal(size=(len(tracks), 2))
    tracks["sigma_x_px"] = tracks["sigma_y_px"] = 0.05
    rows = {row.name: row for row in _tracking(tracks, truth, _match(tracks, truth))}
    # Some 2 x 11 000 numbers: one standard error of the rms is half a per cent.
    assert rows["localisation error, rms"].value == pytest.approx(0.05, rel=0.02)
    assert rows["recall"].value == 1.0 and rows["precision"].value == 1.0
    assert rows["tracks that mix two particles"].holds


def test_lost_particles_lower_the_recall(truth: pd.DataFrame) -> None:
    tracks = truth[["frame", "particle", "x", "y"]].iloc[::2].copy()
    tracks["x"] += 0.05
    tracks["sigma_x_px"] = tracks["sigma_y_px"] = 0.05
    rows = {row.name: row for row in _tracking(tracks, truth, _match(tracks, truth))}
    assert rows["recall"].value == pytest.approx(0.5, abs=0.02)
    assert rows["recall"].holds is False


def test_the_recorded_law_gives_the_recorded_temperatures(truth: pd.DataFrame) -> None:
    """T(S, V) of the law in the JSON equals the temperature in the truth, where all neighbours are in view."""
    import json

    import torch

    from colloidlab.dataset.windows import read_window
    from colloidlab.model import brackets
    from colloidlab.model.pairs import pair_geometry

    parameters = json.loads((SAMPLES / "sheared_monolayer.json").read_text(encoding="utf-8"))["parameters"]
    recording = from_tracks(truth, rectangle_edge_distance(0, 0, 511, 511), sigma_px=0.0)
    laws = _true_laws(parameters, recording)
    # The exact mean radius of the packing instead of the one of the view: sizes are known here.
    window = read_window(recording, 0, 2, laws.cutoff)
    scale = torch.as_tensor(recording.radius[window.slot] / parameters["mean_radius_px"])
    pairs = pair_geometry(window.positions[0], window.pairs[0], parameters["cutoff_px"], scale)
    first = truth[truth["frame"] == 0].set_index("particle").reindex(recording.particles[window.slot])
    S = torch.as_tensor(first["entropy"].to_numpy(dtype=float))
    T = brackets.evaluate(laws, pairs, S).thermo.T.numpy()
    inner = window.complete[0].numpy() & first["entropy"].notna().to_numpy()
    assert inner.sum() > 500
    # The truth is stored in single precision.
    assert T[inner] == pytest.approx(first["temperature_px2"].to_numpy()[inner], rel=1e-4)


def test_bars_hold_at_their_value() -> None:
    assert at_least("a", 1.0, 1.0).holds and not at_least("a", 0.99, 1.0).holds
    assert at_most("a", 1.0, 1.0).holds and not at_most("a", 1.01, 1.0).holds


def test_a_folder_without_the_truth_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="colloidlab sample"):
        read_sample_folder(tmp_path)


def test_a_run_of_another_video_is_refused() -> None:
    run: Any = SimpleNamespace(record={"source": {"sha256": "0" * 64}})
    with pytest.raises(InputError, match="another video"):
        require_the_video(run, SAMPLES / "sheared_monolayer.mp4")
    require_the_video(run, SAMPLES / "absent.mp4")

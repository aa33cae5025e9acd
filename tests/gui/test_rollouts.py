"""The simulated motion beside the experiment: distances and spread are right, and the future lies beyond it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import zarr
from matplotlib import colormaps
from matplotlib.colors import to_rgba
from napari.components import ViewerModel
from napari.layers import Layer

from colloidlab.errors import InputError
from colloidlab.report.rollouts import read_rollout
from colloidlab.run import Run
from napari_plugin.coordinates import from_napari
from napari_plugin.layers import run_layers
from napari_plugin.rollout_layers import FUTURE

OFFSETS = np.array([[3.0, 4.0], [-3.0, 0.0], [0.0, 2.0]])
"""By which the members are off, px."""


@pytest.fixture
def foretold(run: Run) -> Run:
    """A rollout of three members at known distances from the experiment, five frames longer than it."""
    tracks = run.read_table("tracks")
    particles = tracks["particle"].unique()[:20]
    last = int(tracks["frame"].max())
    frames = np.arange(last - 4, last + 6)
    wide = tracks[tracks["particle"].isin(particles)].pivot(
        index="frame", columns="particle", values=["x", "y"]
    )
    true = np.stack(
        [wide[axis].reindex(frames).ffill()[particles].to_numpy() for axis in ("x", "y")], axis=-1
    )
    group = zarr.open_group(run.path / "rollout.zarr", mode="w")
    positions = true + OFFSETS[:, None, None]
    positions[:, :, 7] = np.nan
    arrays = {
        "positions": positions,
        "velocities": np.zeros_like(positions),
        "entropy": np.ones(positions.shape[:3]),
        "temperature": np.ones(positions.shape[:3]),
        "frame": frames,
        "recorded": frames <= last,
        "particle": particles,
        "simulated": np.arange(20) != 3,
    }
    for name, values in arrays.items():
        group.create_array(name, data=np.asarray(values))
    return run


def test_distances_to_the_experiment(foretold: Run) -> None:
    for member, expected in enumerate((5.0, 3.0, 2.0)):
        rollout = read_rollout(foretold, member)
        table = rollout.table
        free = table[table["simulated"] & table["recorded"]]
        np.testing.assert_allclose(free["error_px"], expected, atol=1e-9)
        np.testing.assert_allclose(free["mean_error_px"], np.hypot(*OFFSETS.mean(axis=0)), atol=1e-9)
        np.testing.assert_allclose(table["spread_px"], np.sqrt(OFFSETS.var(axis=0, ddof=1).mean()), atol=1e-9)
        assert table.loc[~table["simulated"] | ~table["recorded"], "error_px"].isna().all()
        assert len(table) == 10 * 19 and rollout.n_members == 3


def test_the_future_goes_on_where_the_recording_ends(foretold: Run) -> None:
    layers = {k["metadata"]["colloidlab"]["kind"]: (d, k, t) for d, k, t in run_layers(foretold, member=1)}
    last = int(foretold.read_table("tracks")["frame"].max())
    assert from_napari(layers["rollout"][0])["frame"].agg(["min", "max"]).tolist() == [last - 4, last]
    assert from_napari(layers["future"][0])["frame"].agg(["min", "max"]).tolist() == [last + 1, last + 5]
    assert (
        layers["future tracks"][0][:, 1].min() == last
    )  # the line starts in the last frame that was recorded
    assert layers["rollout"][1]["name"] == "rollout 2 of 3, error (px)"
    viewer = ViewerModel()
    for layer in layers.values():
        viewer.add_layer(Layer.create(*layer))
    assert viewer.dims.range[0].stop == last + 5


def test_features_colour_the_rollout_and_prescribed_particles_stay_empty(foretold: Run) -> None:
    data, arguments, kind = next(
        layer for layer in run_layers(foretold) if layer[1]["metadata"]["colloidlab"]["kind"] == "rollout"
    )
    layer = Layer.create(data, arguments, kind)
    prescribed = layer.features["simulated"].to_numpy() == 0
    assert {"error_px", "spread_px", "mean_error_px", "temperature_px2", "entropy"} <= set(layer.features)
    assert not layer.face_color[prescribed, 3].any() and layer.face_color[~prescribed, 3].all()
    assert set(np.asarray(layer.symbol)[prescribed].astype(str)) != set(
        np.asarray(layer.symbol)[~prescribed].astype(str)
    )


def test_tracks_of_the_rollout_have_the_colours_of_its_errors(foretold: Run) -> None:
    group = zarr.open_group(foretold.path / "rollout.zarr", mode="a")
    further = np.asarray(group["positions"])
    further[..., 0] += np.arange(20) / 4  # each particle is off by another distance
    group["positions"][:] = further
    layers = {k["metadata"]["colloidlab"]["kind"]: Layer.create(d, k, t) for d, k, t in run_layers(foretold)}
    tracks, discs = layers["rollout tracks"], layers["rollout"]
    assert tracks.color_by == "error_px"
    error = tracks.features["error_px"].to_numpy()
    low, high = discs.face_contrast_limits
    expected = colormaps["turbo"](0.12 + 0.8 * np.clip((error - low) / (high - low), 0, 1))
    known = np.isfinite(error)
    np.testing.assert_allclose(tracks.track_colors[known], expected[known], atol=0.02)
    assert len(np.unique(tracks.track_colors[known].round(3), axis=0)) > 10
    # Those that are prescribed have no error, and are seen all the same.
    assert not known.all() and (tracks.track_colors[~known] == tracks.track_colors[~known][0]).all()
    assert (tracks.track_colors[:, 3] == 1).all()
    tracks.color_by = "spread_px"
    assert (tracks.track_colors[:, 3] == 1).all()
    future = layers["future tracks"]
    np.testing.assert_allclose(future.track_colors, np.tile(to_rgba(FUTURE), (len(future.data), 1)))


def test_an_older_rollout_does_not_say_what_is_recorded(foretold: Run) -> None:
    del zarr.open_group(foretold.path / "rollout.zarr", mode="a")["recorded"]
    table = read_rollout(foretold).table
    last = int(foretold.read_table("tracks")["frame"].max())
    pd.testing.assert_series_equal(table["recorded"], table["frame"] <= last, check_names=False)


def test_a_single_member_has_no_spread(run: Run, tmp_path: Path) -> None:
    group = zarr.open_group(run.path / "rollout.zarr", mode="r")
    one = {name: np.asarray(array) for name, array in group.arrays()}
    for name in ("positions", "velocities", "entropy", "temperature"):
        one[name] = one[name][:1]
    new = zarr.open_group(run.path / "rollout.zarr", mode="w")
    for name, values in one.items():
        new.create_array(name, data=values)
    assert read_rollout(run).table["spread_px"].isna().all()


def test_refusals_are_sentences(run: Run) -> None:
    with pytest.raises(InputError, match="no member 10"):
        read_rollout(run, 9)
    run.remove("rollout.zarr")
    with pytest.raises(InputError, match="run 'colloidlab simulate' first"):
        read_rollout(run)

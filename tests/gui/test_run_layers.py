"""Layers of a run: each value at its particle's place and frame, in colours that follow it, under a true name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from gui.conftest import number_in
from matplotlib import colormaps
from napari.components import ViewerModel
from napari.layers import Layer
from report_fixture import CALIBRATED, make_run
from report_fixture import Layer as Invented

from colloidlab.errors import InputError
from colloidlab.files import sha256
from colloidlab.run import Run
from colloidlab.units import Calibration
from napari_plugin.coordinates import from_napari, tracks_from_napari
from napari_plugin.layers import run_layers
from napari_plugin.particle_layers import coloured, displacements, smooth_map
from napari_plugin.particles import particle_table
from napari_plugin.quantities import colourable, describe, limits
from napari_plugin.scene import LayerData


def by_kind(layers: list[LayerData], kind: str) -> dict[str, LayerData]:
    """Layers of one kind by the quantity that they show."""
    ours = [(layer[1]["metadata"]["colloidlab"], layer) for layer in layers]
    return {about.get("quantity", ""): layer for about, layer in ours if about["kind"] == kind}


def kinds(layers: list[LayerData]) -> list[str]:
    return [layer[1]["metadata"]["colloidlab"]["kind"] for layer in layers]


def test_everything_is_there_and_one_coloured_layer_is_seen(run: Run) -> None:
    layers = run_layers(run)
    assert set(kinds(layers)) == {
        *(
            "preview",
            "map",
            "coloured",
            "displacement",
            "tracks",
            "particles",
            "events",
            "rollout",
            "rollout tracks",
        )
    }
    four = {"temperature_px2", "entropy", "d2min_px2", "psi6"}
    assert set(by_kind(layers, "coloured")) == four
    assert set(by_kind(layers, "map")) == four | {"sigma_ln_temperature", "sigma_entropy"}
    seen = [layer[1]["metadata"]["colloidlab"] for layer in layers if layer[1].get("visible", True)]
    assert [(about["kind"], about.get("quantity")) for about in seen] == [
        ("preview", None),
        ("coloured", "temperature_px2"),
    ]
    viewer = ViewerModel()
    for layer in layers:
        viewer.add_layer(Layer.create(*layer))
    names = [layer.name for layer in viewer.layers]
    assert len(set(names)) == len(names) and "temperature (px²/frame²)" in names


def test_all_layers_share_one_calibrated_world(run: Run) -> None:
    for _, arguments, kind in run_layers(run):
        assert arguments["axis_labels"] == ("frame", "y", "x")
        assert arguments["units"] == ("pixel", "um", "um")
        if kind != "image":
            assert arguments["scale"] == (1.0, CALIBRATED.um_per_px, CALIBRATED.um_per_px)
        assert arguments["metadata"]["colloidlab"]["calibration"]["fps"] == CALIBRATED.fps


@pytest.mark.parametrize("column", ["temperature_px2", "entropy", "d2min_px2", "psi6"])
def test_values_are_at_their_particles(run: Run, column: str) -> None:
    product = "indicators" if column in ("d2min_px2", "psi6") else "state"
    truth = run.read_table("tracks")[["frame", "particle", "x", "y"]].merge(
        run.read_table(product)[["frame", "particle", column]], on=["frame", "particle"], how="left"
    )
    data, arguments, _ = by_kind(run_layers(run), "coloured")[column]
    shown = from_napari(data).assign(
        particle=arguments["features"]["particle"], value=arguments["features"][column]
    )
    both = shown.merge(truth, on=["frame", "particle"], suffixes=("", "_true"), validate="one_to_one")
    assert len(both) == len(truth)
    np.testing.assert_array_equal(both[["x", "y", "value"]], both[["x_true", "y_true", column]])


def test_colours_follow_the_values_within_robust_limits(run: Run) -> None:
    layer = Layer.create(*by_kind(run_layers(run), "coloured")["temperature_px2"])
    value = layer.features["temperature_px2"].to_numpy()
    low, high = np.percentile(value, (1, 99))
    np.testing.assert_allclose(layer.face_contrast_limits, (low, high))
    expected = colormaps["cividis"](np.clip((value - low) / (high - low), 0, 1))
    np.testing.assert_allclose(layer.face_color, expected, atol=0.02)


def test_particles_of_which_nothing_is_known_stay_empty(run: Run) -> None:
    layer = Layer.create(*by_kind(run_layers(run), "coloured")["d2min_px2"])
    unknown = layer.features["d2min_px2"].isna().to_numpy()
    assert unknown.any() and not layer.face_color[unknown, 3].any() and layer.face_color[~unknown, 3].all()


def test_the_map_is_hot_where_the_hot_spot_is(run: Run) -> None:
    layers = run_layers(run)
    viewer = ViewerModel()
    field = viewer.add_layer(Layer.create(*by_kind(layers, "map")["temperature_px2"]))
    field.visible = True
    viewer.dims.set_current_step(0, 25)
    size = Invented().size_px
    at = {
        name: field.get_value(
            (25, size * y * CALIBRATED.um_per_px, size * x * CALIBRATED.um_per_px), world=True
        )
        for name, (x, y) in {"hot": (0.6, 0.4), "mirrored": (0.4, 0.6), "far": (0.1, 0.7)}.items()
    }
    assert at["hot"] > 1.15 * at["mirrored"] > at["far"]
    discs = by_kind(layers, "coloured")["temperature_px2"][1]
    assert field.contrast_limits == pytest.approx(discs["face_contrast_limits"])
    assert field.metadata["colloidlab"]["kernel_px"] > 5


def test_uncertainty_goes_with_the_value(run: Run) -> None:
    layers = run_layers(run)
    _, arguments, _ = by_kind(layers, "coloured")["temperature_px2"]
    features = arguments["features"]
    assert arguments["metadata"]["colloidlab"]["uncertainty"] == "sigma_ln_temperature"
    ratio = np.log(features["temperature_high_px2"] / features["temperature_low_px2"])
    np.testing.assert_allclose(ratio, 2 * 1.96 * features["sigma_ln_temperature"], rtol=1e-4)
    field, arguments, _ = by_kind(layers, "map")["sigma_ln_temperature"]
    np.testing.assert_allclose(field[3], 0.2, rtol=1e-5)
    assert arguments["metadata"]["colloidlab"]["of"] == "temperature_px2"


def test_what_the_fit_does_not_identify_is_called_so_and_not_shown_first(unidentified_run: Run) -> None:
    layers = run_layers(unidentified_run)
    for kind in ("coloured", "map"):
        for column in ("temperature_px2", "entropy"):
            _, arguments, _ = by_kind(layers, kind)[column]
            assert ", not identified" in arguments["name"] and not arguments["visible"]
            assert arguments["metadata"]["colloidlab"]["identified"] is False
        assert "not identified" not in by_kind(layers, kind)["d2min_px2"][1]["name"]
    assert by_kind(layers, "coloured")["d2min_px2"][1]["visible"]
    assert by_kind(layers, "tracks")[""][1]["color_by"] == "d2min_px2"


def test_a_run_of_tracks_alone_shows_its_particles(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", "track", Invented(calibration=Calibration()))
    run.remove("indicators.parquet", "events.parquet")
    layers = run_layers(run)
    assert kinds(layers) == ["preview", "displacement", "tracks", "particles"]
    assert [layer[1].get("visible", True) for layer in layers] == [True, False, False, True]
    assert layers[-1][1]["units"] == ("pixel", "pixel", "pixel")


def test_columns_that_come_later_are_features_without_being_named_here(run: Run) -> None:
    table = run.read_table("indicators")
    rng = np.random.default_rng(0)
    table["d2min_error_px2"] = 0.1 * table["d2min_px2"]
    table["rearranged"] = pd.array(rng.random(len(table)) < 0.2, dtype="boolean")
    table.loc[table["d2min_px2"].isna(), "rearranged"] = pd.NA
    table["coordination"] = pd.array(rng.integers(5, 8, len(table)), dtype="Int64")
    table.loc[table["psi6"].isna(), "coordination"] = pd.NA
    table["something_new_px"] = rng.normal(size=len(table))
    run.write_table("indicators", table)
    layers = run_layers(run)
    features = by_kind(layers, "particles")[""][1]["features"]
    assert {"d2min_error_px2", "rearranged", "something_new_px"} <= set(colourable(features))
    assert features[["rearranged", "coordination"]].dtypes.tolist() == [np.float64, np.float64]
    assert features["rearranged"].isna().any() and features["coordination"].isna().any()
    assert features["rearranged"].mean() == pytest.approx(0.2, abs=0.02)
    assert by_kind(layers, "map")["d2min_error_px2"][1]["metadata"]["colloidlab"]["of"] == "d2min_px2"
    assert "something_new_px" in Layer.create(*by_kind(layers, "tracks")[""]).properties_to_color_by


def test_one_table_keeps_the_rows_of_the_tracks(run: Run) -> None:
    table, tracks = particle_table(run), run.read_table("tracks")
    pd.testing.assert_frame_equal(table[tracks.columns], tracks, check_flags=False)
    quality = run.read_table("quality").set_index("particle")
    np.testing.assert_array_equal(table["track_length"], quality.loc[table["particle"], "length"])
    np.testing.assert_allclose(table["sigma_px"], 0.05)


def test_tracks_hold_every_position_with_its_features(run: Run) -> None:
    data, arguments, _ = by_kind(run_layers(run), "tracks")[""]
    table = tracks_from_napari(data).assign(mass=arguments["features"]["mass"])
    truth = run.read_table("tracks")[["particle", "frame", "x", "y", "mass"]]
    order = ["particle", "frame"]
    pd.testing.assert_frame_equal(
        table.sort_values(order), truth.sort_values(order).reset_index(drop=True), check_dtype=False
    )
    layer = Layer.create(data, arguments, "tracks")
    assert layer.color_by == "temperature_px2"
    # The limits are those of the discs, not this layer's extremes; the colours are bright on black and on grey.
    value = layer.features["temperature_px2"].to_numpy()
    span = limits(value, describe("temperature_px2"))
    expected = colormaps["turbo"](np.interp(value, span, (0.12, 0.92)))
    np.testing.assert_allclose(layer.track_colors, expected, atol=0.02)
    assert layer.track_colors[:, :3].max(axis=1).min() > 0.7


def test_tracks_can_be_coloured_by_what_is_not_known_of_all(run: Run, tmp_path: Path) -> None:
    bare = make_run(tmp_path / "bare", "track")
    bare.remove("indicators.parquet", "events.parquet")
    tracks = bare.read_table("tracks")
    tracks.loc[tracks.index[::3], "mass"] = np.nan
    bare.write_table("tracks", tracks)
    for shown, column in ((run, "d2min_px2"), (bare, "mass")):
        layer = Layer.create(*by_kind(run_layers(shown), "tracks")[""])
        layer.color_by = column
        known = np.isfinite(layer.features[column].to_numpy())
        assert known.any() and not known.all()
        assert len(np.unique(layer.track_colors[known].round(2), axis=0)) > 10
        assert (layer.track_colors[:, 3] == 1).all()


def test_angles_that_mean_the_same_have_the_same_colour(run: Run) -> None:
    table = run.read_table("indicators")
    angle = np.resize([-np.pi / 6, np.pi / 6, 0.0], len(table))
    run.write_table("indicators", table.assign(psi6_angle_rad=angle, psi4_angle_rad=1.5 * angle))
    scene = by_kind(run_layers(run), "particles")[""][1]["metadata"]["colloidlab"]["scene"]
    for column, turn in (("psi6_angle_rad", np.pi / 3), ("psi4_angle_rad", np.pi / 2)):
        quantity = describe(column)
        assert limits(scene.table[column], quantity) == pytest.approx((-turn / 2, turn / 2))
        layer = Layer.create(*coloured(scene, quantity, visible=True))
        value = layer.features[column].to_numpy()
        first, second, other = (layer.face_color[np.isclose(value, v)][0] for v in (-turn / 2, turn / 2, 0.0))
        np.testing.assert_allclose(first, second, atol=0.02)
        assert np.abs(first - other).max() > 0.5
        field, arguments, _ = smooth_map(scene, quantity)
        # Two of three lie at the ends of the period: so does their average, which is not zero.
        assert np.nanmedian(np.abs(field[20])) > 0.4 * turn
        assert arguments["interpolation2d"] == "nearest"


def test_arrows_end_on_their_particles(run: Run) -> None:
    (data, arguments, kind) = by_kind(run_layers(run), "displacement")["displacement_px"]
    tips = from_napari(data[:, 0] + data[:, 1]).assign(particle=arguments["features"]["particle"])
    truth = run.read_table("tracks").merge(tips, on=["frame", "particle"], suffixes=("", "_tip"))
    assert kind == "vectors" and len(truth) == len(tips)
    np.testing.assert_allclose(truth[["x_tip", "y_tip"]], truth[["x", "y"]], atol=1e-9)
    assert arguments["metadata"]["colloidlab"]["lag"] == run.summary["d2min_lag_frames"] == 5


def test_displacements_bridge_gaps_and_end_with_the_track() -> None:
    table = pd.DataFrame(
        {
            "frame": [0, 2, 4, 0, 1],
            "particle": [1, 1, 1, 2, 2],
            "x": [0.0, 3, 5, 9, 9],
            "y": [0.0, 4, 4, 1, 2],
        }
    )
    moved = displacements(table, 2)
    assert moved[["frame", "particle", "dx_px", "dy_px", "displacement_px"]].to_numpy().tolist() == [
        [2, 1, 3, 4, 5],
        [4, 1, 2, 0, 2],
    ]


def test_events_lie_in_their_frames(run: Run) -> None:
    columns: dict[str, Any] = {f"particle_{k}": [1, 2] for k in "abcd"}
    events = pd.DataFrame(
        {"frame": [4, 9], **columns, "x": [50.0, 80.0], "y": [20.0, 30.0], "persistence_frames": 3}
    )
    run.write_table("events", events)
    data, arguments, kind = by_kind(run_layers(run), "events")[""]
    assert kind == "points" and data.tolist() == [[4, 20, 50], [9, 30, 80]]
    assert arguments["features"]["particle_c"].tolist() == [1, 2]
    run.write_table("events", events[:0])
    assert "events" not in kinds(run_layers(run))


# ---- the recording beside the run -----------------------------------------------------------


@pytest.fixture
def filmed_run(run: Run, clip: Path, tmp_path: Path) -> Run:
    """The run, as if it had been made from `clip`, which lies beside it."""
    moved = tmp_path / "clip.mp4"
    moved.write_bytes(clip.read_bytes())
    run.record["source"].update(path="gone/clip.mp4", sha256=sha256(moved))
    run.record["stages"]["track"]["facts"]["view"] = [0.0, 0.0, 64.0, 48.0]
    run._write_record()
    return Run(run.path)


def test_the_recording_is_found_beside_the_run_and_shown_from_its_first_frame(filmed_run: Run) -> None:
    data, arguments, _ = run_layers(filmed_run)[0]
    assert arguments["metadata"]["colloidlab"]["kind"] == "video" and number_in(data[17]) == 17
    assert arguments["scale"] == (1.0, 0.2, 0.2) and arguments["metadata"]["colloidlab"]["note"] == ""
    # What the run knows of its frames is known at once, without decoding them.
    assert {k: s for k, (s, _) in arguments["metadata"]["colloidlab"]["health"].items()} == {
        10: "damaged",
        15: "missing",
    }


def test_a_recording_that_moved_from_an_absolute_path_is_said_so(filmed_run: Run, tmp_path: Path) -> None:
    filmed_run.record["source"]["path"] = str(tmp_path / "elsewhere" / "clip.mp4")
    arguments = run_layers(filmed_run)[0][1]
    assert "has moved" in arguments["metadata"]["colloidlab"]["note"]


def test_another_file_of_the_same_name_is_not_shown(filmed_run: Run, tmp_path: Path) -> None:
    with (tmp_path / "clip.mp4").open("ab") as stream:
        stream.write(b"!")
    arguments = run_layers(filmed_run)[0][1]
    assert arguments["metadata"]["colloidlab"]["kind"] == "preview"
    assert "other content" in arguments["metadata"]["colloidlab"]["note"]


def test_a_recording_that_is_gone_leaves_the_preview_in_its_own_frame(run: Run) -> None:
    data, arguments, _ = run_layers(run)[0]
    assert data.shape[0] == 1 and arguments["translate"][0] == 0 and "only frame 0" in arguments["name"]
    note = arguments["metadata"]["colloidlab"]["note"]
    assert "sheared layer.mp4 is not there; put it beside the run folder" in note


def test_a_recording_of_another_size_is_not_shown(filmed_run: Run) -> None:
    filmed_run.record["stages"]["track"]["facts"]["view"] = [0.0, 0.0, 100.0, 48.0]
    assert "another size" in run_layers(filmed_run)[0][1]["metadata"]["colloidlab"]["note"]


def test_a_folder_without_tracks_is_refused_with_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "run.toml").write_text("contract = 1\n")
    with pytest.raises(InputError, match="run 'colloidlab track' first"):
        run_layers(Run(tmp_path))

"""What "Explore" is made of, without a window: colours, curves and marks are those of the tables."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib import colormaps
from napari.components import ViewerModel
from napari.layers import Layer
from napari.layers._layer_actions import _duplicate_layer
from report_fixture import Layer as Invented
from report_fixture import make_run

from colloidlab.run import Run
from napari_plugin.layers import run_layers
from napari_plugin.marks import (
    AROUND_FRAMES,
    event_bonds,
    event_particles,
    particle_at,
    show_event,
    show_rings,
)
from napari_plugin.quantities import describe
from napari_plugin.recolouring import (
    ROLLOUT,
    Choice,
    Look,
    choices,
    doubt,
    seen_choice,
    show_choice,
    table_of,
    title,
    usual_look,
)
from napari_plugin.run_words import NO_RUN, missing_events, missing_stages, no_run, readout
from napari_plugin.series import band, curves, particle_curve, summary_curve
from napari_plugin.showing import show_run
from napari_plugin.shown_runs import ShownRun, about, followed_run, shown_runs
from napari_plugin.slider import current_frame, go_to_frame


def shown_in(viewer: ViewerModel, run: Run) -> ShownRun:
    show_run(viewer, run_layers(run))
    return shown_runs(viewer)[str(run.path.resolve())]


def choose(
    viewer: ViewerModel, shown: ShownRun, choice: Choice, look: Look | None = None, smooth: bool = False
) -> Look:
    look = look or usual_look(table_of(shown, choice), choice.quantity)
    show_choice(viewer, shown, choice, look, smooth=smooth)
    return look


def seen(viewer: ViewerModel) -> list[str]:
    return [x.name for x in viewer.layers if x.visible and about(x)["kind"] in ("coloured", "map", "rollout")]


# ---- colours ----------------------------------------------------------------------------------


def test_every_choice_colours_each_particle_by_its_value(run: Run) -> None:
    counted = run.read_table("indicators")
    run.write_table("indicators", counted.assign(n_neighbours=4 + counted["particle"] % 5))
    viewer = ViewerModel()
    shown = shown_in(viewer, run)
    n_layers, shared = len(viewer.layers), None
    drawn = [
        Choice(c) for c in ("n_neighbours", "hop_px2", "psi6", "strain_xy", "track_length", "n_neighbours")
    ]
    for choice in (*drawn, Choice("error_px", ROLLOUT)):
        shown = shown_runs(viewer)[shown.path]
        look = choose(viewer, shown, choice)
        [name] = seen(viewer)
        layer = viewer.layers[name]
        assert seen_choice(shown_runs(viewer)[shown.path]) == choice
        value = table_of(shown, choice)[choice.column].to_numpy()[: len(layer.data)]
        np.testing.assert_array_equal(layer.features[choice.column], value)
        known = np.isfinite(value)
        scaled = np.clip((value - look.low) / (look.high - look.low), 0, 1)[known]
        np.testing.assert_allclose(layer.face_color[known], colormaps[look.colours](scaled), atol=0.02)
        assert not layer.face_color[~known, 3].any()
        if choice.column not in ("psi6", "error_px"):
            assert shared is None or layer is shared
            shared = layer
    # What has no layer of its own shares one.
    assert len(viewer.layers) == n_layers + 1


def test_the_usual_range_is_from_the_1st_to_the_99th_percentile_and_another_one_is_kept_to(run: Run) -> None:
    viewer = ViewerModel()
    shown = shown_in(viewer, run)
    choice = Choice("hop_px2")
    look = usual_look(shown.scene.table, choice.quantity)
    assert (look.low, look.high) == pytest.approx(np.nanpercentile(shown.scene.table["hop_px2"], (1, 99)))
    choose(viewer, shown, choice, Look("plasma", 1.0, 2.0))
    layer = viewer.layers["p_hop (px²)"]
    value = layer.features["hop_px2"].to_numpy()
    ends = colormaps["plasma"]([0.0, 1.0])
    np.testing.assert_allclose(
        layer.face_color[value <= 1], np.tile(ends[0], (np.sum(value <= 1), 1)), atol=1e-6
    )
    np.testing.assert_allclose(
        layer.face_color[value >= 2], np.tile(ends[1], (np.sum(value >= 2), 1)), atol=1e-6
    )


def test_the_map_goes_with_the_choice_and_the_selected_layer_stays(run: Run) -> None:
    viewer = ViewerModel()
    shown = shown_in(viewer, run)
    viewer.layers.selection.active = viewer.layers["particles"]
    choose(viewer, shown, Choice("hop_px2"), Look("viridis", 0.0, 3.0), smooth=True)
    assert seen(viewer) == ["p_hop map (px²)", "p_hop (px²)"]
    assert viewer.layers["p_hop map (px²)"].contrast_limits == [0.0, 3.0]
    n_layers = len(viewer.layers)
    shown = shown_runs(viewer)[shown.path]
    choose(viewer, shown, Choice("hop_error_px2"), smooth=True)
    field = viewer.layers[seen(viewer)[0]]
    np.testing.assert_allclose(field.data[20], 0.2, rtol=1e-5)
    shown = shown_runs(viewer)[shown.path]
    choose(viewer, shown, Choice("temperature_px2"), smooth=True)
    assert seen(viewer) == ["temperature map (px²/frame²)", "temperature (px²/frame²)"]
    assert len(viewer.layers) == n_layers and viewer.layers.selection.active is viewer.layers["particles"]
    choose(viewer, shown_runs(viewer)[shown.path], Choice("spread_px", ROLLOUT), smooth=True)
    assert seen(viewer) == ["rollout 1 of 2, spread of the ensemble per axis (px)"]


def test_choices_are_all_columns_once_and_learned_ones_say_when_they_are_not_identified(
    run: Run, unidentified_run: Run
) -> None:
    viewer = ViewerModel()
    sure, unsure = shown_in(viewer, run), shown_in(viewer, unidentified_run)
    found = choices(sure)
    assert len(set(found)) == len(found) and len({title(sure, choice) for choice in found}) == len(found)
    columns = [choice.column for choice in found if choice.source != ROLLOUT]
    assert columns[:4] == ["temperature_px2", "entropy", "d2min_px2", "psi6"]
    assert {"sigma_px", "hop_px2", "sigma_ln_temperature", "mass", "track_length"} <= set(columns)
    assert {"error_px", "spread_px"} <= {choice.column for choice in found if choice.source == ROLLOUT}
    for choice in choices(unsure):
        assert ("not identified" in title(unsure, choice)) == choice.quantity.learned
        assert bool(doubt(unsure, choice)) == choice.quantity.learned
    assert not any(doubt(sure, choice) for choice in found)


def test_duplicates_stay_as_they_are_and_the_run_is_coloured_all_the_same(run: Run) -> None:
    viewer = ViewerModel()
    shown = shown_in(viewer, run)
    choose(viewer, shown, Choice("mass"))
    [name] = seen(viewer)
    copies = []
    for original in (viewer.layers[name], viewer.layers["particles"]):
        viewer.layers.selection = {original}
        _duplicate_layer(viewer.layers)
        copies.append(viewer.layers[f"{original.name} copy"])
    colours = copies[0].face_color.copy()
    shown = shown_runs(viewer)[shown.path]
    assert not set(copies) & set(shown.layers) and len(shown.of("particles")) == 1
    choose(viewer, shown, Choice("ecc"))
    assert seen(viewer) == ["ecc", f"{name} copy"] and "mass" in copies[0].features
    assert about(copies[0])["quantity"] == "mass" and about(viewer.layers["ecc"])["quantity"] == "ecc"
    np.testing.assert_array_equal(copies[0].face_color, colours)
    # A duplicate whose original is gone is what the run has left.
    viewer.layers.remove(viewer.layers["particles"])
    assert shown_runs(viewer)[shown.path].of("particles") == copies[1:]


def test_of_a_run_that_was_opened_twice_the_newer_layers_count(run: Run) -> None:
    viewer = ViewerModel()
    first = shown_in(viewer, run)
    choose(viewer, first, Choice("mass"))
    for layer in run_layers(run):
        viewer.add_layer(Layer.create(*layer))
    choose(viewer, shown_runs(viewer)[first.path], Choice("ecc"))
    shown = shown_runs(viewer)[first.path]
    kinds = [(about(x)["kind"], about(x).get("quantity")) for x in shown.layers]
    assert len(set(kinds)) == len(kinds) and not set(shown.layers) & set(shown.older)
    assert shown.scene is about(shown.of("particles")[0])["scene"] is not first.scene
    assert len(shown.older) == len(first.layers) and seen(viewer) == ["ecc"]
    choose(viewer, shown, Choice("psi6"))
    assert seen(viewer) == ["ψ6 [1]"] and viewer.layers["ψ6 [1]"] in shown.layers


# ---- curves -----------------------------------------------------------------------------------


def test_a_curve_has_its_particles_values_and_a_gap_where_it_was_not_seen(run: Run) -> None:
    viewer = ViewerModel()
    table = shown_in(viewer, run).scene.table
    table = table[~((table["particle"] == 30) & table["frame"].isin([7, 12]))]
    own = table[table["particle"] == 30].set_index("frame")
    curve = particle_curve(table, 30, describe("temperature_px2"))
    assert curve.frame.tolist() == list(range(30)) and np.flatnonzero(np.isnan(curve.value)).tolist() == [
        7,
        12,
    ]
    np.testing.assert_array_equal(curve.value[own.index], own["temperature_px2"])
    assert band(table, describe("temperature_px2")) == "95 %"
    # The posterior of ln T is a Gaussian of standard deviation 0.2.
    assert curve.low is not None and curve.high is not None
    np.testing.assert_allclose(
        curve.high[own.index] / curve.value[own.index], np.exp(0.2 * 1.959964), rtol=1e-6
    )
    np.testing.assert_allclose(curve.low * curve.high, curve.value**2, rtol=1e-9)
    hop = particle_curve(table, 30, describe("hop_px2"))
    assert hop.frame[0] == 0 and np.isnan(hop.value[:5]).all() and band(table, describe("hop_px2")) == "± σ"
    assert hop.high is not None
    np.testing.assert_allclose((hop.high - hop.value)[15:], 0.2)
    assert particle_curve(table, 30, describe("psi6")).low is None
    assert curve.at(7)[0] != curve.at(7)[0] and np.isnan(curve.at(30)[0]) and np.isnan(curve.at(-1)[0])
    assert curve.at(8) == (curve.value[8], curve.low[8], curve.high[8])


def test_many_particles_are_their_median(run: Run) -> None:
    viewer = ViewerModel()
    table = shown_in(viewer, run).scene.table
    [curve] = curves(table, (), describe("d2min_px2"))
    values = [table.loc[table["frame"] == k, "d2min_px2"].dropna() for k in (5, 29)]
    k = [int(np.flatnonzero(curve.frame == f)[0]) for f in (5, 29)]
    for got, q in ((curve.low, 10), (curve.value, 50), (curve.high, 90)):
        assert got is not None
        np.testing.assert_allclose(got[k], [np.percentile(v, q) for v in values])
    assert curve.particle is None and np.isnan(curve.value[:5]).all()
    some = summary_curve(table, list(range(20)), describe("temperature_px2"))
    assert some is not None and some.name == "median of 20 particles"
    now = table[(table["frame"] == 9) & (table["particle"] < 20)]
    assert some.at(9)[0] == pytest.approx(now["temperature_px2"].median())
    # Of a flag the median would say nothing, an angle has none.
    share = summary_curve(table, (), describe("hopped"))
    assert share is not None and share.at(20)[0] == pytest.approx(
        table.loc[table["frame"] == 20, "hopped"].mean()
    )
    assert summary_curve(table, (), describe("psi6_angle_rad")) is None
    assert [c.particle for c in curves(table, (3, 1), describe("psi6"))] == [3, 1]
    assert len(curves(table, tuple(range(9)), describe("psi6"))) == 1


# ---- marks ------------------------------------------------------------------------------------


def test_bonds_of_an_event_join_those_that_part_before_it_and_those_that_meet_after(run: Run) -> None:
    viewer = ViewerModel()
    shown = shown_in(viewer, run)
    event = pd.Series(
        {
            "frame": 15,
            "x": 50.0,
            "y": 40.0,
            "particle_a": 1,
            "particle_b": 2,
            "particle_c": 13,
            "particle_d": 14,
        }
    )
    data, arguments, _ = event_bonds(shown.scene, event)
    at = shown.scene.table.set_index(["frame", "particle"])[["y", "x"]]
    frames = data[:, 0, 0].astype(int)
    assert frames.tolist() == list(range(15 - AROUND_FRAMES, 15 + AROUND_FRAMES + 1 - 0))[: len(frames)]
    for k, frame in enumerate(frames):
        one, other = (1, 2) if frame < 15 else (13, 14)
        np.testing.assert_allclose(data[k, 0, 1:], at.loc[(frame, one)])
        np.testing.assert_allclose(data[k, 0, 1:] + data[k, 1, 1:], at.loc[(frame, other)])
        assert data[k, 1, 0] == 0 and arguments["features"]["met"][k] == float(frame >= 15)
    assert event_particles(event) == [1, 2, 13, 14]


def test_going_to_an_event_moves_slider_and_camera_and_nothing_is_added_twice(run: Run) -> None:
    viewer = ViewerModel()
    shown = shown_in(viewer, run)
    zoom = viewer.scene.camera.zoom
    events = shown.events()
    assert events is not None
    for row in (3, 1):
        show_event(viewer, shown_runs(viewer)[shown.path], events.iloc[row])
        assert current_frame(viewer) == events["frame"][row]
        place = events[["y", "x"]].iloc[row].to_numpy() * shown.scene.calibration.length_per_px
        np.testing.assert_allclose(viewer.scene.camera.center[-2:], place)
    marks = [x for x in viewer.layers if about(x)["kind"] == "event bonds"]
    assert len(marks) == 1 and marks[0].name == f"T1 event in frame {events['frame'][1]}"
    assert viewer.scene.camera.zoom == zoom


def test_rings_are_around_the_selected_particles_in_every_frame(run: Run) -> None:
    viewer = ViewerModel()
    shown = shown_in(viewer, run)
    for particles in ((3, 50), (7,), ()):
        shown = shown_runs(viewer)[shown.path]
        show_rings(viewer, shown, shown.scene.table, particles)
        ring = viewer.layers["selected particles"]
        assert ring.visible == bool(particles)
        if particles:
            own = shown.scene.table[shown.scene.table["particle"].isin(particles)]
            np.testing.assert_array_equal(ring.data, own[["frame", "y", "x"]])
            assert ring.features["particle"].tolist() == own["particle"].tolist()
            first = ring.features["particle"] == particles[0]
            assert len(np.unique(ring.border_color[first], axis=0)) == 1
            assert len(np.unique(ring.border_color, axis=0)) == len(particles)
            np.testing.assert_allclose(ring.size, 1.3 * 2 * own["radius_px"])


def test_the_particle_at_a_place_is_that_whose_disc_it_is() -> None:
    corners = pd.DataFrame(
        {
            "frame": [4, 4, 5],
            "particle": [8, 9, 8],
            "x": [0.0, 11.0, 1.0],
            "y": [0.0, 7.0, 0.0],
            "radius_px": 2.0,
        }
    )
    assert particle_at(corners, np.array([4.0, 0.0, 0.0])) == 8
    assert particle_at(corners, np.array([4.0, 7.9, 11.0])) == 9
    assert particle_at(corners, np.array([4.0, 11.0, 7.0])) is None  # x and y are not exchanged
    assert particle_at(corners, np.array([5.0, 7.0, 11.0])) is None
    assert particle_at(corners, np.array([6.0, 0.0, 0.0])) is None


# ---- runs -------------------------------------------------------------------------------------


def test_the_selected_layers_run_is_followed(run: Run, unidentified_run: Run) -> None:
    viewer = ViewerModel()
    assert followed_run(viewer, "") is None
    viewer.add_points(np.zeros((1, 3)))
    assert followed_run(viewer, "") is None
    one, two = shown_in(viewer, run), shown_in(viewer, unidentified_run)
    viewer.layers.selection.active = one.of("tracks")[0]
    followed = followed_run(viewer, two.path)
    assert followed is not None and followed.path == one.path
    viewer.layers.selection.active = viewer.layers[0]
    followed = followed_run(viewer, two.path)
    assert followed is not None and followed.path == two.path
    # A layer with more dimensions puts its own in front of the frames.
    viewer.add_points(np.zeros((1, 4)))
    go_to_frame(viewer, 11)
    assert viewer.dims.point[1] == 11 and current_frame(viewer) == 11


def test_a_run_whose_particles_were_removed_is_called_so(run: Run) -> None:
    viewer = ViewerModel()
    assert no_run(viewer) == NO_RUN
    shown = shown_in(viewer, run)
    viewer.layers.remove(shown.of("particles")[0])
    assert followed_run(viewer, "") is None
    assert (
        no_run(viewer).startswith("The layer particles of run was removed")
        and "open" in no_run(viewer).lower()
    )
    viewer.layers.clear()
    assert no_run(viewer) == NO_RUN


def test_what_a_run_lacks_is_said(run: Run, tmp_path: Path) -> None:
    viewer = ViewerModel()
    whole = shown_in(viewer, run)
    assert missing_stages(whole) == missing_events(whole) == ""
    tracked = make_run(tmp_path / "tracked", "track", Invented(n_side=5))
    tracked.remove("indicators.parquet", "events.parquet")
    bare = shown_in(viewer, tracked)
    assert missing_stages(bare) == "Not in this run: indicators. Not fitted: no temperature and entropy."
    assert "not measured" in missing_events(bare)
    assert {choice.column for choice in choices(bare)} >= {"mass", "sigma_px"}
    refused = shown_in(viewer, make_run(tmp_path / "refused", "track", Invented(n_side=5), refused=True))
    assert "No temperature and entropy: velocities forget themselves" in missing_stages(refused)
    fitted = make_run(tmp_path / "fitted", "fit", Invented(n_side=5))
    fitted.write_table("events", fitted.read_table("events").iloc[:0])
    only = shown_in(viewer, fitted)
    assert missing_stages(only) == "Not simulated: no rollout."
    assert missing_events(only) == "No T1 event was found in this run."


def test_the_readout_has_the_numbers_of_the_table(run: Run) -> None:
    viewer = ViewerModel()
    shown = shown_in(viewer, run)
    choice = Choice("temperature_px2")
    found = curves(shown.scene.table, (12,), choice.quantity)
    row = shown.scene.table.query("frame == 21 and particle == 12").iloc[0]
    text = readout(found, 21, shown, choice)
    assert "frame 21, 0.42 s" in text and "12: " + f"{row['temperature_px2']:.3g}" in text
    assert f"(95 %: {row['temperature_low_px2']:.3g} to {row['temperature_high_px2']:.3g})" in text
    hop = curves(shown.scene.table, (12,), describe("hop_px2"))
    assert "± 0.2" in readout(hop, 21, shown, Choice("hop_px2"))
    assert "not known" in readout(hop, 2, shown, Choice("hop_px2"))
    far = Choice("error_px", ROLLOUT)
    text = readout(curves(table_of(shown, far), (), far.quantity), 3, shown, far)
    assert "The rollout is in frames 24 to 29." in text

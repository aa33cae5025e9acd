"""Figures of the report carry the data of the tables: checked on the artists, not on pixels."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.collections import EllipseCollection, LineCollection
from matplotlib.figure import Figure
from PIL import Image
from report_fixture import Layer, make_run

from colloidlab.errors import InputError
from colloidlab.report import (
    figures_dynamics,
    figures_model,
    figures_rollout,
    figures_structure,
    figures_tracking,
    overview_figure,
    write_overview,
)
from colloidlab.report.results import Results
from colloidlab.report.style import Plate, house_style
from colloidlab.run import Run


@pytest.fixture(autouse=True)
def _style() -> Iterator[None]:
    with house_style():
        yield


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return make_run(tmp_path_factory.mktemp("full") / "run")


@pytest.fixture(scope="module")
def results(run: Run) -> Results:
    return Results(run)


def circles(ax: Axes) -> list[EllipseCollection]:
    return [c for c in ax.collections if isinstance(c, EllipseCollection)]


def values(ax: Axes) -> np.ndarray:
    """Values of all circles of a map, faint and full, sorted."""
    return np.sort(np.ma.concatenate([c.get_array() for c in circles(ax)]).compressed())


def line(ax: Axes, i: int = 0) -> np.ndarray:
    return np.asarray(ax.lines[i].get_ydata(), dtype=float)


def test_frame_strip_has_one_cell_per_frame_with_its_status(results: Results) -> None:
    strip, counts = figures_tracking.frame_health(results).figure.axes
    cells = np.asarray(strip.images[0].get_array())[0]
    assert cells.tolist() == [2 if i == 10 else 3 if i == 15 else 0 for i in range(30)]
    assert [t.get_text() for t in strip.get_legend().get_texts()] == ["28 ok", "1 damaged", "1 missing"]
    assert np.all(line(counts) == 144)


def test_one_damaged_frame_of_a_long_recording_is_not_lost(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", "track")
    status = ["ok"] * 25_001
    status[17_345] = "damaged"
    run.write_table("frames", pd.DataFrame({"frame": range(25_001), "status": status, "n_features": 5}))
    plate = figures_tracking.frame_health(Results(run))
    image = plate.figure.axes[0].images[0]
    cells = np.asarray(image.get_array())[0]
    assert cells.size <= 1000
    (damaged,) = np.flatnonzero(cells == 2)
    left, right = image.get_extent()[:2]
    assert (
        left + damaged * (right - left) / cells.size
        <= 17_345
        <= left + (damaged + 1) * (right - left) / cells.size
    )
    assert "26 frames and shows the worst" in plate.caption


def test_detections_are_drawn_where_they_were_found(results: Results) -> None:
    image, *histograms = figures_tracking.detections(results).figure.axes
    features = results.table("features", ["frame"])
    here = features[features["frame"] == 0]
    np.testing.assert_allclose(circles(image)[0].get_offsets(), 0.2 * here[["x", "y"]].to_numpy())
    left, right, bottom, top = image.images[0].get_extent()
    assert (left, right, bottom, top) == pytest.approx((-0.1, 0.2 * 207.5, 0.2 * 207.5, -0.1))
    # The 0.2 and 99.8 percentiles bound the histograms.
    masses = sum(p.get_data().values.sum() for p in histograms[0].patches)
    assert masses == pytest.approx(len(features), rel=0.005)
    for stairs in histograms[3].patches[-2:]:
        assert stairs.get_data().values.mean() == pytest.approx(1)


def test_tracks_are_drawn_whole_and_apart(results: Results) -> None:
    ax = figures_tracking.tracks(results).figure.axes[0]
    (lines,) = (c for c in ax.collections if isinstance(c, LineCollection))
    assert len(lines.get_segments()) == 144 * 29
    assert (
        max(np.ptp(s, axis=0).max() for s in lines.get_segments()) < 0.2 * 3.0
    )  # no jump to another particle
    assert lines.get_array().max() == pytest.approx(29 / 50)


def test_rearrangement_is_shown_at_the_frame_with_the_largest_mean(results: Results) -> None:
    table = results.table("indicators", ["d2min_px2"])
    frame = table.groupby("frame")["d2min_px2"].mean().idxmax()
    left, right = [
        a
        for a in figures_structure.rearrangement(results).figure.axes
        if a.get_title(loc="left") or circles(a)
    ]
    here = table[table["frame"] == frame]
    np.testing.assert_allclose(values(left), np.sort(0.04 * here["d2min_px2"].dropna().to_numpy()))
    np.testing.assert_allclose(values(right), np.sort(here["strain_xy"].to_numpy()))
    low, high = circles(right)[1].get_clim()
    assert low == -high


def test_a_nearly_empty_frame_is_not_the_busiest(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", "track")
    table = run.read_table("indicators")
    lonely = (table["frame"] == 7) & (table["particle"] == 40)
    table.loc[lonely, "d2min_px2"] = 1e6
    run.write_table("indicators", table)
    assert figures_structure.busiest_frame(Results(run)) == 7
    run.write_table("indicators", table[(table["frame"] != 7) | lonely])
    assert figures_structure.busiest_frame(Results(run)) > 7


def test_captions_say_what_was_chosen_and_the_order_is_that_of_the_fold(tmp_path: Path) -> None:
    run = make_run(tmp_path / "chosen", "track")
    table = run.read_table("indicators")
    run.write_table("indicators", table.assign(psi4=0.25 * table["psi6"]))
    chosen = {"psi_fold": 4, "indicator_q_per_px": 0.5, "overlap_radius_px": 4.0}
    run.summarise("indicators", run.stage_summary("indicators") | chosen)
    scale = run.calibration.um_per_px
    caption = figures_dynamics.relaxation(Results(run)).caption
    assert (
        f"at wave number {0.5 / scale:g}/µm" in caption and f"within {4 * scale:.3g} µm of where" in caption
    )
    plate = figures_structure.hexatic_order(Results(run))
    assert "bond order of 4 folds" in plate.caption
    known = [v for v in values(plate.figure.axes[0]) if np.isfinite(v)]
    assert 0 < np.max(known) <= 0.25


def test_curves_carry_the_table_and_the_msd_its_noise_floor(results: Results) -> None:
    table = results.table("curves", ["quantity"])
    axes = figures_structure.curves(results).figure.axes
    for ax, name in zip(axes, ("g_r", "s_q", "msd", "vacf"), strict=True):
        np.testing.assert_array_equal(line(ax), table.loc[table["quantity"] == name, "y"])
        assert len(ax.collections) == 1
    assert (axes[2].get_xscale(), axes[2].get_yscale()) == ("log", "log")
    assert line(axes[2], -1)[0] == pytest.approx(4 * 0.058**2 * 0.04)
    assert axes[2].get_xlabel() == "lag (s)"
    assert axes[3].get_ylabel() == "velocity autocorrelation (µm²/s²)"


@pytest.mark.parametrize(
    ("draw", "column", "factor"),
    [
        (figures_model.temperature_maps, "temperature_px2", 0.04 * 50**2),
        (figures_model.entropy_maps, "entropy", 1.0),
    ],
)
def test_state_maps_show_the_test_block_on_one_scale(
    results: Results, draw, column: str, factor: float
) -> None:
    axes = [a for a in draw(results).figure.axes if circles(a)]
    state = results.table("state", [column])
    assert [a.get_title(loc="left") for a in axes] == ["frame 24", "frame 27", "frame 29"]
    for ax, frame in zip(axes, (24, 27, 29), strict=True):
        here = state[state["frame"] == frame]
        np.testing.assert_allclose(values(ax), np.sort(factor * here[column].to_numpy()))
        faint, full = circles(ax)
        assert faint.get_alpha() < full.get_alpha()
        assert len(faint.get_offsets()) == here["boundary"].sum()
    assert len({c.get_clim() for ax in axes for c in circles(ax)}) == 1


@pytest.mark.parametrize("identified", [True, False])
def test_maps_of_an_unidentified_temperature_say_so(tmp_path: Path, identified: bool) -> None:
    results = Results(make_run(tmp_path / "run", layer=Layer(identified=identified)))
    drawn = (
        figures_model.temperature_maps,
        figures_model.entropy_maps,
        figures_model.temperature_and_rearrangement,
    )
    panels = [a for draw in drawn for a in draw(results).figure.axes if a.get_xlabel() or circles(a)]
    panels += [
        a for a in overview_figure(results.run).axes if a.get_title(loc="left") == "learned temperature"
    ]
    assert len(panels) == 9
    for ax in panels:
        assert ("temperature not identified" in [t.get_text() for t in ax.texts]) is not identified


@pytest.mark.parametrize(
    "draw",
    [
        figures_model.temperature_maps,
        figures_model.entropy_maps,
        figures_model.temperature_and_rearrangement,
    ],
)
def test_an_isothermal_run_has_no_maps_of_temperature(
    tmp_path: Path, draw: Callable[[Results], Plate]
) -> None:
    results = Results(make_run(tmp_path / "run", "fit", Layer(entropy="isothermal")))
    with pytest.raises(InputError, match=r"No temperature of single particles was fitted.*--entropy filter"):
        draw(results)


def test_maps_of_an_encoder_say_so(tmp_path: Path) -> None:
    results = Results(make_run(tmp_path / "run", "fit", Layer(entropy="encoder")))
    assert figures_model.temperature_maps(results).caption.startswith("In each frame encoded temperature")
    assert "encoder of the entropy is held fixed" in figures_model.functions(results).caption


def test_split_strip_covers_the_blocks(results: Results) -> None:
    plate = figures_model.data_split(results)
    (ax,) = plate.figure.axes
    assert [t.get_text() for t in ax.texts] == ["train\n0 to 17", "validation\n18 to 23", "test\n24 to 29"]
    assert plate.caption.endswith("Particles interact up to 8 µm at the mean size (two shells of g(r)).")


def test_training_curves_are_drawn_by_phase(results: Results) -> None:
    table = results.table("training", ["phase"])
    axes = figures_model.training(results).figure.axes
    for ax, phase in zip(axes, ("isothermal", "filter"), strict=True):
        part = table[table["phase"] == phase]
        np.testing.assert_array_equal(line(ax, 0), part["train_loglik"])
        np.testing.assert_array_equal(line(ax, 1), part["validation_loglik"])


def test_learned_functions_have_units_and_bands_where_known(results: Results) -> None:
    axes = {a.get_ylabel(): a for a in figures_model.functions(results).figure.axes}
    assert set(axes) == {"kernel", "pair friction (1/s)", "pair noise (µm²/s³)", "pressure (µm²/s²)"}
    friction, pressure = axes["pair friction (1/s)"], axes["pressure (µm²/s²)"]
    assert (friction.get_xlabel(), pressure.get_xlabel()) == ("distance (µm)", "density / W(0)")
    table = results.table("functions", ["y"]).set_index("quantity")
    np.testing.assert_array_equal(line(friction), table.loc["pair_friction", "y"])
    (band,) = friction.collections[0].get_paths()
    assert band.vertices[:, 1].max() == pytest.approx(table.loc["pair_friction", "y_high"].max())
    assert pressure.collections[0].get_paths() == []


@pytest.mark.parametrize(("half_width", "known"), [(0.9, True), (1.1, False), (np.nan, True)])
def test_a_function_smaller_than_half_of_its_band_is_not_identified(half_width: float, known: bool) -> None:
    r = np.linspace(0, 1, 50)
    y = np.exp(-8 * r)  # near zero over most of its range, where the band must not count
    width = np.where(y > 0.05, half_width * y, 5.0)
    curve = pd.DataFrame({"quantity": "pair_force", "x": r, "y": y, "y_low": y - width, "y_high": y + width})
    assert figures_model.is_identified(curve) is known
    ax = Figure().subplots()
    figures_model.draw_function(ax, curve.assign(x_unit="px", y_unit=""), "pair_force", ["pair_force"])
    assert ax.get_title(loc="left") == ("" if known else "not identified")


def test_every_kind_of_pair_of_a_mixture_has_its_curve() -> None:
    """Directions in panels of their own; names as matplotlib shows them, which leaves out what begins with a line."""
    r = np.linspace(0, 1, 5)
    kinds = {"_a + _a": 1.0, "_a + $b": 2.0, "$b + $b": 3.0}
    rows = [
        pd.DataFrame({"quantity": name, "species": kind, "x": r, "y": height * (1 - r)})
        for name in ("pair_friction_parallel", "pair_friction_perpendicular")
        for kind, height in kinds.items()
    ]
    pressure = pd.DataFrame({"quantity": "pressure", "species": "", "x": r, "y": r})
    table = pd.concat([*rows, pressure]).assign(y_low=np.nan, y_high=np.nan, x_unit="px", y_unit="")
    panels = figures_model.group_functions(table)
    assert list(panels) == ["pressure", "pair_friction_parallel", "pair_friction_perpendicular"]
    ax = Figure().subplots()
    figures_model.draw_function(
        ax, table, "pair_friction_perpendicular", panels["pair_friction_perpendicular"]
    )
    assert ax.get_ylabel() == "pair friction across"
    shown = dict(zip(*reversed(ax.get_legend_handles_labels()), strict=True))
    assert list(shown) == ["a + _a", "a + b", "b + b"]
    for height, handle in zip(kinds.values(), shown.values(), strict=True):
        assert handle.get_ydata()[0] == height


def test_comparison_overlays_experiment_and_rollout(results: Results) -> None:
    table = results.table("comparison", ["quantity", "series", "y"])
    axes = figures_rollout.comparison(results).figure.axes
    assert len(axes) == 4
    for ax, name in zip(axes, ("g_r", "msd", "vacf", "d2min"), strict=True):
        for i, series in enumerate(("experiment", "rollout")):
            expected = table[(table["quantity"] == name) & (table["series"] == series)]["y"]
            np.testing.assert_array_equal(line(ax, i), expected)
    assert [a.get_title(loc="left") for a in axes] == [
        "relative error 2.3 %",
        "relative error 6.1 %",
        "relative error 8.4 %",
        "Kolmogorov-Smirnov distance 0.047",
    ]


def test_snapshots_show_both_at_the_last_frame_on_one_scale(results: Results) -> None:
    left, right = [a for a in figures_rollout.snapshots(results).figure.axes if circles(a)]
    assert left.get_title(loc="left") == "experiment, frame 29"
    state = results.table("state", ["frame"])
    here = state[state["frame"] == 29]
    np.testing.assert_allclose(values(left), np.sort(10 * np.hypot(here["vx_px"], here["vy_px"])))
    rollout = figures_rollout.read_last_frame(results).table
    np.testing.assert_allclose(values(right), np.sort(10 * rollout["speed_px"]))
    assert len(circles(right)[0].get_offsets()) == (~rollout["simulated"]).sum() > 0
    assert len({c.get_clim() for ax in (left, right) for c in circles(ax)}) == 1


def test_energy_budget_draws_the_change_and_its_parts(results: Results) -> None:
    plate = figures_rollout.energy_budget(results)
    (ax,) = plate.figure.axes
    change, work, heat, drift = (line(ax, i) for i in range(4))
    np.testing.assert_allclose(change, work + heat + drift, atol=1e-6 * np.abs(work).max())
    assert change[0] == work[0] == 0
    # five frames after the first, each with -0.2 of heat and 0.002 of drift, in um^2/s^2
    assert heat[-1] == pytest.approx(-0.04 * 50**2 * 0.2 * 5)
    assert drift[-1] == pytest.approx(0.04 * 50**2 * 0.002 * 5)
    assert "within round-off" in plate.caption


def test_energy_budget_that_does_not_close_says_by_how_much(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", layer=Layer(n_side=4))
    table = run.read_table("budget")
    table["work"], table["heat"], table["energy_drift"] = 1.0, 0.0, 0.0
    table["energy"] = 300 + 1.25 * (table["frame"] - table["frame"].min())
    run.write_table("budget", table)
    assert "within 20 % of the largest term" in figures_rollout.energy_budget(Results(run)).caption


def test_momentum_budget_shows_change_impulse_and_remainder(results: Results) -> None:
    table = results.table("budget", ["momentum_x"])
    axes = figures_rollout.momentum_budget(results).figure.axes
    mean = 10 * table.groupby("frame")["momentum_x"].mean().to_numpy()
    np.testing.assert_allclose(line(axes[0], 0), mean - mean[0], atol=1e-12)
    np.testing.assert_allclose(line(axes[0], 1), mean - mean[0], atol=1e-12)
    assert 0 < line(axes[2]).max() < 1e-9


def test_overview_follows_the_state_of_the_run(run: Run, tmp_path: Path) -> None:
    def titles(run: Run) -> list[str]:
        return [a.get_title(loc="left") for a in overview_figure(run).axes if a.get_title(loc="left")]

    shown = ["recording, detections and tracks (detail)", "non-affine rearrangement"]
    assert titles(run) == [*shown, "learned temperature", "experiment against rollout"]
    bare = make_run(tmp_path / "bare", "track")
    assert titles(bare) == [*shown, "hexatic order", "mean squared displacement"]


def test_overview_is_written_as_a_wide_picture(run: Run, tmp_path: Path) -> None:
    write_overview(run, tmp_path / "overview.png")
    with Image.open(tmp_path / "overview.png") as image:
        width, height = image.size
    assert width > 1500
    assert 2.5 < width / height < 6

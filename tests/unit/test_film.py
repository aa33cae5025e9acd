"""Films of a run: particles are where they are, in the colour of their value, and the file says what it shows."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import av
import numpy as np
import pandas as pd
import pytest
import tifffile
import zarr
from matplotlib import colormaps
from PIL import Image as Pillow
from report_fixture import REFUSAL, Layer, make_run

from colloidlab import cli
from colloidlab.config import Config, ExportConfig
from colloidlab.errors import Cancelled, InputError, UsageError
from colloidlab.indicators import compute
from colloidlab.pipeline.simulate import _as_tracks
from colloidlab.progress import Monitor
from colloidlab.report import canvas
from colloidlab.report.film import Layout, Painter, write_export
from colloidlab.report.film_data import collect
from colloidlab.report.rollouts import as_observed, read_rollout
from colloidlab.report.source import open_source
from colloidlab.run import Run

LAYER = Layer(n_side=8)
SIZE = LAYER.size_px
FIRST = 24
"""First frame of the rollout."""


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run whose recording has three by three bright pixels around x = 2, y = 3, where no particle is."""
    folder = tmp_path_factory.mktemp("film")
    images = np.zeros((LAYER.n_frames, SIZE, SIZE), np.uint8)
    images[:, 2:5, 1:4] = 255
    images[FIRST + 2] = 7
    tifffile.imwrite(folder / "layer.tif", images, photometric="minisblack")
    return make_run(folder / "run", layer=replace(LAYER, source=str(folder / "layer.tif")))


def paint(run: Run, options: ExportConfig, frame: int) -> tuple[np.ndarray, Painter]:
    video, note = open_source(run)
    assert video is not None and not note
    painter = Painter(run, collect(run, options), options, video)
    return painter.draw(frame), painter


def panel(picture: np.ndarray, layout: Layout, x: int) -> np.ndarray:
    return picture[layout.top : layout.top + layout.panel[1], x : x + layout.panel[0]].astype(float)


# ---- what is drawn --------------------------------------------------------------------------


def test_particles_have_the_colour_of_their_value_by_one_scale_on_both_sides(run: Run) -> None:
    options = ExportConfig(colour_by="temperature_px2", tail_frames=0, height_px=600)
    picture, painter = paint(run, options, FIRST + 1)
    film, layout = collect(run, options), painter._layout
    assert film.colouring is not None and film.rollout is not None
    # 0.2 um a pixel and 50 frames a second.
    assert film.colouring.label == "temperature (µm²/s²)"
    state = run.read_table("state")
    span = np.percentile(state["temperature_px2"], (1, 99)) * 0.2**2 * 50**2
    np.testing.assert_allclose(film.colouring.span, span, rtol=1e-12)
    rollout = zarr.open_group(run.path / "rollout.zarr", mode="r")
    simulated = np.asarray(rollout["simulated"])
    now = state[state["frame"] == FIRST + 1]
    sides = (
        (layout.left, now[["x", "y"]].to_numpy(), now["temperature_px2"].to_numpy()),
        (layout.right, rollout["positions"][0, 1][simulated], rollout["temperature"][0, 1][simulated]),
    )
    assert simulated.any() and not simulated.all()
    for x, places, values in sides:
        drawn = panel(picture, layout, x)
        columns, rows = np.rint((places + 0.5) * 600 / SIZE - 0.5).astype(int).T
        inside = (columns > 9) & (rows > 9) & (columns < 590) & (rows < 590)
        expected = 255 * colormaps["cividis"]((values * 100 - span[0]) / (span[1] - span[0]))[:, :3]
        # The ground shines through a little: at most 15 %.
        off = np.abs(drawn[rows, columns] - 0.85 * expected)[inside]
        assert inside.sum() > 15 and off.max() <= 0.15 * 255 + 2


def test_the_image_lies_where_its_pixels_are(run: Run) -> None:
    options = ExportConfig(colour_by="none", tail_frames=0, height_px=5 * SIZE, rollout=False)
    picture, painter = paint(run, options, 0)
    drawn = panel(picture, painter._layout, painter._layout.left)[:30, :30].min(axis=-1)
    rows, columns = np.nonzero(drawn > 128)
    # Pixel k covers 5 k to 5 k + 4, its centre is 5 k + 2.
    assert (columns.mean(), rows.mean()) == pytest.approx((5 * 2 + 2, 5 * 3 + 2), abs=0.1)


def test_outlines_are_centred_on_the_positions(run: Run) -> None:
    options = ExportConfig(colour_by="none", tail_frames=0, height_px=800)
    picture, painter = paint(run, options, FIRST + 1)
    drawn = panel(picture, painter._layout, painter._layout.right)
    group = zarr.open_group(run.path / "rollout.zarr", mode="r")
    j = int(np.flatnonzero(np.asarray(group["simulated"]))[12])
    scale = 800 / SIZE
    x, y = (group["positions"][0, 1][j] + 0.5) * scale - 0.5
    tracks = run.read_table("tracks")
    radius = scale * tracks.loc[tracks["particle"] == group["particle"][j], "radius_px"].median()
    turn = np.linspace(0, 2 * np.pi, 40, endpoint=False)
    rim = np.rint([y + radius * np.sin(turn), x + radius * np.cos(turn)]).astype(int)
    yellow = drawn[rim[0], rim[1]]
    assert np.median(yellow[:, 0]) > 150 and np.median(yellow[:, 2]) < 80
    inner = drawn[round(y), round(x)]
    assert np.abs(inner - canvas.PANEL).max() < 3


def test_tails_go_back_as_far_as_was_asked_for(run: Run) -> None:
    side = collect(run, ExportConfig()).experiment
    tracks = run.read_table("tracks").set_index(["frame", "particle"])[["x", "y"]]
    pieces = side.tails(20, 6)
    assert len(pieces) == 6 * LAYER.n_side**2 and side.tails(20, 0).size == 0
    ends = tracks.loc[[(20, k) for k in range(LAYER.n_side**2)]].to_numpy()
    starts = tracks.loc[[(14, k) for k in range(LAYER.n_side**2)]].to_numpy()
    order = np.lexsort(pieces[5::6, 1].T)
    np.testing.assert_array_equal(pieces[5::6, 1][order], ends[np.lexsort(ends.T)])
    np.testing.assert_array_equal(pieces[0::6, 0][order], starts[np.lexsort(ends.T)])


@pytest.mark.parametrize("column", ["psi6", "d2min_px2"])
def test_the_rollout_is_measured_as_the_experiment_was(run: Run, tmp_path: Path, column: str) -> None:
    """Where the rollout is the experiment, so are its indicators."""
    copy = Run(shutil.copytree(run.path, tmp_path / "run"))
    tracks = copy.read_table("tracks")
    test = tracks[tracks["frame"] >= FIRST].sort_values(["frame", "particle"])
    group = zarr.open_group(copy.path / "rollout.zarr", mode="r+")
    group["positions"][:] = test[["x", "y"]].to_numpy().reshape(group["positions"].shape[1:])[None]
    lag = 2
    group["camera_sigma"][:] = 0.0
    copy.summarise("indicators", {"d2min_lag_frames": lag, "neighbour_cutoff_px": 24.0})
    config = Config.model_validate(
        {"indicators": {"lag_frames": lag, "neighbour_cutoff_px": 24.0}}
    ).indicators
    x0, y0, x1, y1 = -0.5, -0.5, SIZE - 0.5, SIZE - 0.5
    copy.record["stages"]["track"]["facts"]["region"] = [x0, y0, x1, y1]
    truth = compute(tracks, copy.calibration, config, view=(SIZE, SIZE), region=(x0, y0, x1, y1)).table
    film = collect(copy, ExportConfig(colour_by=column))  # type: ignore[arg-type]
    assert film.rollout is not None and film.colouring is not None
    shown = film.rollout.table.merge(truth, on=["frame", "particle"])
    shown = shown[shown["frame"] >= FIRST + lag]
    assert shown["value"].notna().mean() > 0.3
    # What is seen is judged by the positions, so that cells at its edge may count in one and not in the other.
    both = shown[shown[["value", column]].notna().all(axis=1)]
    assert len(both) > 0.8 * shown[["value", column]].notna().sum().max()
    np.testing.assert_allclose(both["value"], both[column] * film.colouring.factor, rtol=1e-9)


def test_the_rollout_is_measured_with_the_errors_with_which_it_was_compared(run: Run, tmp_path: Path) -> None:
    """D2min of a rollout has the localisation error of the experiment, number by number that of the comparison."""
    run = Run(shutil.copytree(run.path, tmp_path / "run"))
    view, region = (SIZE, SIZE), (-0.5, -0.5, SIZE - 0.5, SIZE - 0.5)
    run.record["stages"]["track"]["facts"]["region"] = list(region)
    run._write_record()
    group = zarr.open_group(run.path / "rollout.zarr", mode="r")
    frames, particles = np.asarray(group["frame"]), np.asarray(group["particle"])
    n_known = len(frames) - 2
    plan = SimpleNamespace(first=FIRST, n_frames=n_known, particles=particles, scale=np.ones(len(particles)))
    recording = SimpleNamespace(mean_radius=6.0)
    sigma = np.asarray(group["camera_sigma"])
    compared = _as_tracks(run.path / "rollout.zarr", plan, recording, sigma, seed=0)  # type: ignore[arg-type]
    seen = as_observed(run, read_rollout(run, 1))
    keys = ["frame", "particle"]
    both = compared[1].merge(seen, on=keys, suffixes=("", "_seen"))
    assert len(both) == len(compared[1]) == n_known * len(particles)
    np.testing.assert_array_equal(both[["x", "y"]], both[["x_seen", "y_seen"]])
    exact = read_rollout(run, 1).table
    assert np.std(seen["x"] - exact["x"]) == pytest.approx(0.05, rel=0.1)

    film = collect(run, ExportConfig(colour_by="d2min_px2", member=2))
    assert film.rollout is not None and film.colouring is not None
    np.testing.assert_array_equal(film.rollout.table[["x", "y"]], exact[["x", "y"]], "it is drawn without")
    config = Config.model_validate({"indicators": {"lag_frames": 5, "only": "d2min"}}).indicators
    truth = compute(seen, run.calibration, config, view=view, region=region).table.set_index(keys)[
        "d2min_px2"
    ]
    shown = film.rollout.table.set_index(keys)["value"].dropna()
    assert len(shown) > 20
    np.testing.assert_allclose(shown / film.colouring.factor, truth.reindex(shown.index), rtol=1e-9)


def test_the_distance_to_the_experiment_is_a_colour_of_the_rollout_alone(run: Run) -> None:
    film = collect(run, ExportConfig(colour_by="error_px"))
    assert film.rollout is not None and film.rollout.coloured and not film.experiment.coloured
    assert film.colouring is not None and film.colouring.span[0] == 0
    group = zarr.open_group(run.path / "rollout.zarr", mode="r")
    tracks = run.read_table("tracks").set_index(["frame", "particle"])
    j = int(np.flatnonzero(np.asarray(group["simulated"]))[3])
    particle = int(group["particle"][j])
    there = tracks.loc[(FIRST + 4, particle), ["x", "y"]].to_numpy(dtype=float)
    row = film.rollout.at(FIRST + 4).set_index("particle").loc[particle]
    assert row["value"] == pytest.approx(0.2 * np.hypot(*(group["positions"][0, 4, j] - there)))


def test_what_is_not_identified_is_called_so(tmp_path: Path) -> None:
    doubtful = make_run(tmp_path / "run", layer=replace(LAYER, identified=False))
    film = collect(doubtful, ExportConfig(colour_by="entropy"))
    assert film.colouring is not None and film.colouring.label == "entropy, not identified (k_B)"
    assert collect(doubtful, ExportConfig()).colouring.label == "D²min (µm²)"  # type: ignore[union-attr]


def test_a_damaged_frame_is_not_drawn_over_an_old_image(run: Run) -> None:
    options = ExportConfig(colour_by="none", tail_frames=0, height_px=400)
    picture, painter = paint(run, options, FIRST + 2)
    video, _ = open_source(run)
    assert video is not None and video.frame(FIRST + 2).image is None
    drawn = panel(picture, painter._layout, painter._layout.left)
    # Where the bright pixels were, there is the even ground.
    assert np.abs(drawn[round(3.5 * 400 / SIZE), round(2.5 * 400 / SIZE)] - canvas.PANEL).max() < 3


def test_the_scale_bar_is_as_long_as_it_says() -> None:
    picture = np.zeros((60, 500, 3), np.uint8)
    canvas.draw_scale_bar(picture, 480, 40, 300 / 110, 130, "um", 20)
    rows, columns = np.nonzero((picture == canvas.INK).all(axis=-1))
    longest = max((columns[rows == r].max() - columns[rows == r].min() + 1 for r in set(rows)), default=0)
    bar = rows == rows[np.argmax(columns)]
    run_of = columns[bar]
    assert canvas.round_length(130 * 110 / 300) == 20
    assert run_of.max() == 479 and longest >= 55 == round(20 * 300 / 110)
    assert (picture[rows[np.argmax(columns)], 425:480] == canvas.INK).all()


# ---- files ----------------------------------------------------------------------------------


def test_the_film_is_what_was_drawn_and_says_where_it_comes_from(run: Run, tmp_path: Path) -> None:
    options = ExportConfig(height_px=240, fps=12.5, member=2, frames=f"{FIRST + 1}:{FIRST + 5}")
    steps: list[tuple[str, int, int]] = []
    path = tmp_path / "film.mp4"
    result = write_export(run, path, options, Monitor(lambda *step: steps.append(step)))
    assert result == {"export": str(path), "n_frames": 4, "frames": "25:29"}
    assert [done for label, done, _ in steps if label == "film"] == [0, 1, 2, 3, 4]
    with av.open(str(path)) as container:
        [stream] = container.streams.video
        assert (stream.average_rate, stream.width % 2, stream.height % 2) == (12.5, 0, 0)
        about = json.loads(container.metadata["comment"])
        pictures = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    assert len(pictures) == 4
    assert about["sha256"] == "5e" * 32 and about["recording"] == "layer.tif" and about["frames"] == [25, 29]
    assert about["options"]["member"] == 2 and about["stages"]["simulate"] == "key"
    drawn, painter = paint(run, options, FIRST + 1)
    layout = painter._layout
    # Colour planes are halved, so compare means over pieces of 8 px; a wrong matrix or range is off by 10 and more.
    for x in (layout.left, layout.right):
        a, b = (panel(p, layout, x).reshape(30, 8, 30, 8, 3).mean(axis=(1, 3)) for p in (drawn, pictures[0]))
        assert np.abs(a - b).mean() < 3


def test_a_picture_is_of_the_first_frame_and_says_where_it_comes_from(run: Run, tmp_path: Path) -> None:
    options = ExportConfig(height_px=240, frames="3:4", rollout=False)
    write_export(run, tmp_path / "a.png", options)
    with Pillow.open(tmp_path / "a.png") as image:
        assert json.loads(image.info["Comment"])["frames"] == [3, 4]
        np.testing.assert_array_equal(np.asarray(image), paint(run, options, 3)[0])


def test_cancelling_leaves_an_earlier_film_and_nothing_else(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "film.mp4"
    path.write_bytes(b"earlier")
    steps: list[int] = []
    monitor = Monitor(lambda label, done, total: steps.append(done), lambda: len(steps) > 4)
    with pytest.raises(Cancelled):
        write_export(run, path, ExportConfig(height_px=200), monitor)
    assert path.read_bytes() == b"earlier" and list(tmp_path.iterdir()) == [path]


def test_an_interrupted_film_is_not_said_to_go_on(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path, drawn = tmp_path / "film.mp4", []

    def interrupt(painter: Painter, frame: int) -> np.ndarray:
        drawn.append(frame)
        raise KeyboardInterrupt

    monkeypatch.setattr(Painter, "draw", interrupt)
    for was in ("was not written", "is still that of before"):
        assert cli._main(["export", str(run.path), "-o", str(path), "--height-px", "200"]) == 130
        assert capsys.readouterr().err == (
            f"colloidlab: interrupted; {path} {was}, and the same command starts anew\n"
        )
        assert list(tmp_path.iterdir()) == ([path] if path.exists() else [])
        path.write_bytes(b"earlier")
    assert drawn == [FIRST, FIRST] and path.read_bytes() == b"earlier"


def test_without_the_recording_particles_are_drawn_and_a_note_says_so(tmp_path: Path) -> None:
    lost = make_run(tmp_path / "run", layer=LAYER)
    result = write_export(lost, tmp_path / "a.png", ExportConfig(height_px=200))
    assert "put it beside the run folder" in result["note"] and (tmp_path / "a.png").exists()


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"member": 3}, r"no member 3; choose one of 1 to 2"),
        ({"frames": "3:9"}, r"3:9 are not all among those of the rollout, 24:30"),
        ({"frames": "25:40"}, r"among those of the rollout"),
        ({"colour_by": "error_px", "rollout": False}, r"distance to the experiment; show the rollout"),
        (
            {"colour_by": "local_density_per_px2"},
            r"no local density to colour by; run 'colloidlab indicators .* --only density'",
        ),
    ],
)
def test_what_cannot_be_shown_is_refused_with_a_sentence(
    run: Run, tmp_path: Path, options: dict, says: str
) -> None:
    with pytest.raises(InputError, match=says):
        write_export(run, tmp_path / "film.mp4", ExportConfig(**options))
    assert not list(tmp_path.iterdir())


def test_runs_without_rollout_or_fit_say_what_to_do(tmp_path: Path) -> None:
    tracked = make_run(tmp_path / "tracked", "track", LAYER)
    with pytest.raises(InputError, match=r"no rollout: run 'colloidlab simulate .*--no-rollout"):
        write_export(tracked, tmp_path / "a.mp4", ExportConfig())
    with pytest.raises(InputError, match=r"no temperature to colour by; run 'colloidlab fit"):
        write_export(tracked, tmp_path / "a.mp4", ExportConfig(rollout=False, colour_by="temperature_px2"))
    refused = make_run(tmp_path / "refused", "track", LAYER, refused=True)
    with pytest.raises(InputError, match="no rollout: for the fit was refused: velocities forget"):
        write_export(refused, tmp_path / "a.mp4", ExportConfig())
    assert REFUSAL.startswith("velocities forget")
    with pytest.raises(UsageError, match=r"neither in \.mp4 .* nor in \.png"):
        write_export(tracked, tmp_path / "a.avi", ExportConfig(rollout=False))
    assert write_export(tracked, tmp_path / "a.png", ExportConfig(rollout=False))["frames"] == "0:1"


def test_positions_of_three_dimensions_are_shown_alone(tmp_path: Path) -> None:
    deep = make_run(tmp_path / "run", layer=LAYER)
    deep.write_table("tracks", deep.read_table("tracks").assign(z=1.0))
    with pytest.raises(InputError, match="of three; show the experiment alone"):
        collect(deep, ExportConfig())
    film = collect(deep, ExportConfig(rollout=False, colour_by="psi6"))
    assert film.rollout is None and isinstance(film.experiment.table, pd.DataFrame)

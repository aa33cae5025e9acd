"""Repairs by hand reach the run as they were made, and change nothing else."""

from __future__ import annotations

import datetime
import errno
import os
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from commands import contents
from napari.layers import Points, Tracks

from colloidlab import tables
from colloidlab.errors import InputError, UsageError
from colloidlab.run import STAGES, Run
from colloidlab.tracks import track_quality
from napari_plugin.layers import run_layers
from napari_plugin.particles import NEW
from napari_plugin.repair import Repair, join_tracks, repaired, save_repair, split_track
from napari_plugin.writers import write_points, write_tracks


@pytest.fixture
def before() -> pd.DataFrame:
    """Two tracks of five frames and one of two, with what was measured of them."""
    frame = np.repeat([0, 1, 2, 3, 4], 2).tolist() + [0, 1]
    table = pd.DataFrame({"frame": frame, "particle": [0, 1] * 5 + [2, 2]})
    rng = np.random.default_rng(0)
    table[["x", "y"]] = rng.uniform(0, 50, (12, 2))
    table[["mass", "radius_px"]] = rng.uniform(3, 9, (12, 2))
    table[["sigma_x_px", "sigma_y_px"]] = 0.05
    table = table.sort_values(["frame", "particle"], kind="stable").reset_index(drop=True)
    first = ~table.duplicated("particle")
    table["link_margin"] = np.where(first, np.nan, 10.0 + np.arange(12))
    return table


def positions(table: pd.DataFrame) -> pd.DataFrame:
    return table[["frame", "particle", "x", "y"]].copy()


def at(table: pd.DataFrame, particle: int, frame: int) -> pd.Series:
    return table[(table["particle"] == particle) & (table["frame"] == frame)].iloc[0]


def test_nothing_edited_is_nothing_changed(before: pd.DataFrame) -> None:
    after, repair = repaired(before, positions(before).sample(frac=1, random_state=1))
    pd.testing.assert_frame_equal(after, before)
    assert repair.is_empty and str(repair) == "nothing changed"


def test_single_precision_of_a_layer_is_no_move(before: pd.DataFrame) -> None:
    after, repair = repaired(before, positions(before).astype({"x": np.float32, "y": np.float32}))
    assert repair.is_empty
    np.testing.assert_allclose(after[["x", "y"]], before[["x", "y"]], atol=1e-5)


def test_a_removed_position_leaves_a_gap_and_an_unknown_link(before: pd.DataFrame) -> None:
    edited = positions(before).query("not (particle == 0 and frame == 2)")
    after, repair = repaired(before, edited)
    assert repair == Repair(removed=1) and len(after) == 11
    assert np.isnan(at(after, 0, 3)["link_margin"])
    # Every other row is as it was.
    same = after.merge(before, how="inner")
    assert len(same) == 10 and track_quality(after).set_index("particle").loc[0, "gaps"] == 1


def test_a_moved_position_is_no_measurement_any_more(before: pd.DataFrame) -> None:
    edited = positions(before)
    edited.loc[(edited["particle"] == 1) & (edited["frame"] == 3), "x"] += 2.0
    after, repair = repaired(before, edited)
    assert repair == Repair(moved=1)
    row = at(after, 1, 3)
    assert row["x"] == at(before, 1, 3)["x"] + 2.0
    assert row[["mass", "sigma_x_px", "sigma_y_px", "link_margin"]].isna().all()
    assert row["radius_px"] == pytest.approx(
        before.query("particle == 1 and frame != 3")["radius_px"].median()
    )


def test_an_added_position_joins_the_track_it_was_added_to(before: pd.DataFrame) -> None:
    new = pd.DataFrame({"frame": [2], "particle": [2], "x": [7.0], "y": [8.0]})
    after, repair = repaired(before, pd.concat([positions(before), new]))
    assert repair == Repair(added=1) and at(after, 2, 2)["y"] == 8.0
    assert after["particle"].dtype == before["particle"].dtype
    assert after[["frame", "particle"]].apply(tuple, axis=1).is_monotonic_increasing


@pytest.mark.parametrize("number", [NEW, np.nan, 0])
def test_an_added_position_without_a_free_number_gets_a_new_one(before: pd.DataFrame, number: float) -> None:
    """Also one that was copied with the number of a particle that is in the frame already."""
    new = pd.DataFrame({"frame": [2, 3], "particle": number, "x": [7.0, 9.0], "y": [8.0, 9.0]})
    after, repair = repaired(before, pd.concat([positions(before), new]))
    assert repair.added == 2 and set(after["particle"]) == {0, 1, 2, 3, 4}


def test_what_was_added_keeps_its_number_when_the_layer_is_saved_again(before: pd.DataFrame) -> None:
    added = pd.DataFrame({"frame": [2, 3], "particle": [NEW, NEW], "x": [1.0, 2.0], "y": [3.0, 4.0]})
    edited = pd.concat([positions(before), added], ignore_index=True)
    once, _ = repaired(before, edited)
    assert sorted(set(once["particle"])) == [0, 1, 2, 3, 4]
    twice, repair = repaired(once, edited)
    assert repair.is_empty
    pd.testing.assert_frame_equal(twice, once)


def test_split_and_join_are_inverse(before: pd.DataFrame) -> None:
    cut = split_track(positions(before), 0, 2)
    after, repair = repaired(before, cut)
    assert repair == Repair(relabelled=3) and at(after, 3, 2)["mass"] == at(before, 0, 2)["mass"]
    assert (
        np.isnan(at(after, 3, 2)["link_margin"])
        and at(after, 3, 3)["link_margin"] == at(before, 0, 3)["link_margin"]
    )
    pd.testing.assert_frame_equal(join_tracks(cut, 0, 3), positions(before))


def test_a_joint_has_no_known_certainty(before: pd.DataFrame) -> None:
    apart = positions(before).query("not (particle == 0 and frame < 2)")
    after, repair = repaired(before, join_tracks(apart, 2, 0))
    assert repair == Repair(removed=2, relabelled=3)
    assert np.isnan(at(after, 2, 2)["link_margin"]) and np.isfinite(at(after, 2, 3)["link_margin"])


def test_what_cannot_be_is_refused(before: pd.DataFrame) -> None:
    with pytest.raises(InputError, match=r"overlap in frames 0 to 1; split one"):
        join_tracks(before, 0, 2)
    with pytest.raises(InputError, match="no particle 77"):
        join_tracks(before, 0, 77)
    with pytest.raises(InputError, match="both sides of frame 0"):
        split_track(before, 0, 0)
    twice = positions(before).replace({"particle": {2: 0}})
    with pytest.raises(InputError, match="particle 0 would be in frame 0 twice"):
        repaired(before, twice)
    with pytest.raises(InputError, match="keep at least one"):
        repaired(before, positions(before)[:0])


# ---- into the run ----------------------------------------------------------------------------


def layer_of(run: Run, kind: str) -> Points | Tracks:
    data, arguments, _ = next(
        layer for layer in run_layers(run) if layer[1]["metadata"]["colloidlab"]["kind"] == kind
    )
    return (Points if kind == "particles" else Tracks)(data, **arguments)


def save(layer: Any, path: Path) -> list[str]:
    data, meta, kind = layer.as_layer_data_tuple()
    return {"points": write_points, "tracks": write_tracks}[kind](str(path), data, meta)


def test_points_deleted_and_added_in_the_window_are_saved(run: Run) -> None:
    before = run.read_table("tracks")
    old = contents(run.path)
    layer = layer_of(run, "particles")
    victim = int(np.flatnonzero((before["particle"] == 5) & (before["frame"] == 8))[0])
    layer.selected_data = {victim}
    layer.remove_selected()
    layer.add([[8.0, 31.0, 17.0]])  # napari gives it the features of what was selected
    layer.add([[8.0, 40.0, 19.0]])
    assert save(layer, run.path / "tracks.parquet") == [str(run.path / "tracks.parquet")]

    after = Run(run.path)
    tracks = after.read_table("tracks")
    assert list(tracks.columns) == list(before.columns) and len(tracks) == len(before) + 1
    assert at(tracks, 5, 8)[["x", "y"]].tolist() == [17.0, 31.0]
    assert at(tracks, before["particle"].max() + 1, 8)[["x", "y"]].tolist() == [19.0, 40.0]
    kept = tracks.merge(before, how="inner")
    assert len(kept) == len(before) - 1
    pd.testing.assert_frame_equal(after.read_table("quality"), track_quality(tracks), check_flags=False)
    assert after.summary["n_tracks"] == tracks["particle"].nunique()

    [entry] = after.facts("track")["repairs"]
    assert (entry["who"], entry["removed"], entry["added"], entry["moved"], entry["relabelled"]) == (
        *("manual repair", 0, 1, 1, 0),
    )
    assert datetime.datetime.fromisoformat(entry["time"]).tzinfo is not None
    # What was computed from the old tracks is gone; what was not is untouched.
    new_files = contents(run.path)
    for name in (*STAGES["indicators"], "state.parquet", "budget.parquet"):
        assert name not in new_files
    untouched = {"features.parquet", "frames.parquet", "preview.png"}
    assert {n: new_files[n] for n in untouched} == {n: old[n] for n in untouched}
    assert set(new_files) - set(old) == set()


def test_the_run_stays_current_so_that_the_same_command_keeps_the_repair(run: Run) -> None:
    key = run.stage_key("track")
    table = run.read_table("tracks")
    save_repair(run, table[table["particle"] != 3])
    again = Run(run.path)
    assert again.is_current("track", key) and list(again.record["stages"]) == ["track"]
    assert again.record["stages"]["track"]["options"] == {}


def test_saving_again_goes_on_from_what_was_saved(run: Run) -> None:
    layer = layer_of(run, "particles")
    n = len(layer.data)
    for _ in range(2):
        layer.selected_data = {0, 1}
        layer.remove_selected()
        save(layer, run.path / "tracks.parquet")
    again = Run(run.path)
    assert [entry["removed"] for entry in again.facts("track")["repairs"]] == [2, 2]
    assert len(again.read_table("tracks")) == n - 4


def test_relabelled_tracks_are_saved(run: Run) -> None:
    layer = layer_of(run, "tracks")
    data = layer.data.copy()
    cut = (data[:, 0] == 4) & (data[:, 1] >= 10)
    data[cut, 0] = 500
    layer.data = data
    save(layer, run.path)
    tracks = Run(run.path).read_table("tracks")
    assert tracks.query("particle == 500")["frame"].tolist() == list(range(10, 30))
    assert Run(run.path).facts("track")["repairs"][0]["relabelled"] == 20


def test_saving_without_a_change_leaves_every_file_alone(run: Run) -> None:
    old = contents(run.path)
    for kind in ("particles", "tracks"):
        save(layer_of(run, kind), run.path / "tracks.parquet")
    assert contents(run.path) == old


def test_calibrated_columns_follow_the_positions(run: Run) -> None:
    tracks = run.read_table("tracks")
    run.write_table(
        "tracks", tracks.assign(x_um=0.2 * tracks["x"], y_um=0.2 * tracks["y"], t_s=tracks["frame"] / 50)
    )
    frames = run.read_table("frames")
    run.write_table("frames", frames.assign(t_s=np.nan))
    edited = run.read_table("tracks")
    edited.loc[7, "x"] += 1.0
    save_repair(run, edited)
    after = run.read_table("tracks")
    np.testing.assert_allclose(after["x_um"], 0.2 * after["x"])
    np.testing.assert_allclose(after["t_s"], after["frame"] / 50)


def test_what_does_not_belong_to_the_run_is_refused_and_nothing_written(run: Run, tmp_path: Path) -> None:
    layer = layer_of(run, "particles")
    old = contents(run.path)
    with pytest.raises(UsageError, match="save them there"):
        save(layer, tmp_path / "other" / "tracks.parquet")
    with pytest.raises(UsageError, match="was not read from a run"):
        save(Points([[0, 1, 2]], features={"particle": [0]}), run.path / "tracks.parquet")
    run.record["stages"]["track"]["key"] = "another"
    run._write_record()
    old["run.toml"] = contents(run.path)["run.toml"]
    with pytest.raises(InputError, match="tracked again after it was opened"):
        save(layer, run.path / "tracks.parquet")
    assert contents(run.path) == old


@pytest.mark.parametrize("beyond", [-2, 1])
def test_what_lies_beyond_the_recording_is_refused(run: Run, beyond: int) -> None:
    """A simulated future makes the slider longer than the recording."""
    layer = layer_of(run, "particles")
    frame = beyond if beyond < 0 else int(run.read_table("frames")["frame"].max()) + beyond
    layer.add([frame, 10, 10])
    old = contents(run.path)
    with pytest.raises(InputError, match=f"the recording has no frame {frame} .*; remove what is there"):
        save(layer, run.path / "tracks.parquet")
    assert contents(run.path) == old


def test_a_full_disk_is_no_repair_by_half(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    layer = layer_of(run, "particles")
    layer.selected_data = {3}
    layer.remove_selected()
    old, write = contents(run.path), tables.write_parquet

    def only_tracks(path: Path, *arguments: Any, **more: Any) -> None:
        if "quality" in path.name:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        write(path, *arguments, **more)

    monkeypatch.setattr(tables, "write_parquet", only_tracks)
    with pytest.raises(OSError, match="No space"):
        save(layer, run.path / "tracks.parquet")
    assert contents(run.path) == old
    monkeypatch.undo()
    save(layer, run.path / "tracks.parquet")
    assert Run(run.path).facts("track")["repairs"][0]["removed"] == 1


def test_a_run_that_has_gone_is_said_to_be_gone(run: Run) -> None:
    layer = layer_of(run, "particles")
    moved = run.path.rename(run.path.with_name("elsewhere"))
    with pytest.raises(InputError, match="has no tracks any more; put it back"):
        save(layer, run.path / "tracks.parquet")
    moved.rename(run.path)
    save(layer, run.path / "tracks.parquet")

"""The run folder: whole files or none, stages that are repeated exactly when they must be, and its record."""

from __future__ import annotations

import errno
import json
import os
import tomllib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tomli_w

from colloidlab import tables
from colloidlab.config import Config, load_config
from colloidlab.errors import InputError
from colloidlab.files import atomic_path, sha256
from colloidlab.run import CONTRACT, DEPENDENTS, SECTIONS, STAGES, Run
from colloidlab.units import Calibration

FIT = load_config(None, {"fit": {"filter_steps": 9}})


def contents(folder: Path) -> dict[str, str]:
    """Hash of every file, hidden ones included."""
    return {str(p.relative_to(folder)): sha256(p) for p in sorted(folder.rglob("*")) if p.is_file()}


def complete(run: Run, stage: str, text: str = "first", config: Config | None = None, key: str = "k") -> None:
    """Put a stage's products and one headline number there."""
    with run.stage(stage, key, config or Config(), {}) as facts:
        facts["said"] = text
        for name in STAGES[stage]:
            with run.writing(name) as temporary:
                if "." in name and not name.endswith(".zarr"):
                    temporary.write_text(f"{text} {name}")
                else:
                    temporary.mkdir()
                    (temporary / "part").write_text(f"{text} {name}")
        run.summarise(stage, {f"number_of_{stage}": float(len(text))})


@pytest.fixture
def full(tmp_path: Path) -> Run:
    run = Run(tmp_path / "run")
    for stage in STAGES:
        complete(run, stage)
    return run


# ---- atomic writes ----------------------------------------------------------------------------------


class Stop(BaseException):
    """Stands for Ctrl-C or any crash."""


def test_a_crash_while_writing_leaves_the_earlier_file_and_no_temporary(tmp_path: Path) -> None:
    target = tmp_path / "a.txt"
    target.write_text("earlier")
    with pytest.raises(Stop), atomic_path(target) as temporary:
        temporary.write_text("half")
        raise Stop
    assert contents(tmp_path).keys() == {"a.txt"} and target.read_text() == "earlier"


def test_a_crash_while_writing_a_folder(tmp_path: Path) -> None:
    target = tmp_path / "a.zarr"
    target.mkdir()
    (target / "x").write_text("earlier")
    with pytest.raises(Stop), atomic_path(target) as temporary:
        temporary.mkdir()
        (temporary / "x").write_text("half")
        raise Stop
    assert contents(tmp_path).keys() == {"a.zarr/x"} and (target / "x").read_text() == "earlier"


def test_a_folder_takes_the_place_of_the_earlier_one_whole(tmp_path: Path) -> None:
    for names in (("x", "y"), ("z",)):
        with atomic_path(tmp_path / "deep" / "a.zarr") as temporary:
            temporary.mkdir()
            for name in names:
                (temporary / name).write_text(name)
    assert contents(tmp_path).keys() == {"deep/a.zarr/z"}


def test_the_old_folder_comes_back_when_the_exchange_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import os

    target, replace = tmp_path / "a.zarr", os.replace
    target.mkdir()
    (target / "x").write_text("earlier")

    def refuse_the_new(source: Path, destination: Path) -> None:
        if str(source).endswith(".part"):
            raise OSError("disk full")
        replace(source, destination)

    monkeypatch.setattr(os, "replace", refuse_the_new)
    with pytest.raises(OSError, match="disk full"), atomic_path(target) as temporary:
        temporary.mkdir()
        (temporary / "x").write_text("new")
    assert contents(tmp_path).keys() == {"a.zarr/x"} and (target / "x").read_text() == "earlier"


@pytest.mark.parametrize("stage", STAGES)
def test_a_crash_in_a_stage_leaves_the_record_and_what_was_there(full: Run, stage: str) -> None:
    before = contents(full.path)
    with pytest.raises(Stop), full.stage(stage, "new key", Config(), {}):
        raise Stop
    assert contents(full.path) == before
    again = Run(full.path)
    assert again.is_current(stage, "k") and not again.is_current(stage, "new key")


def test_products_replaced_only_in_part_are_not_current(full: Run) -> None:
    # Killed between two products: the record still has the earlier key, but this is not the earlier result.
    with pytest.raises(Stop), full.stage("track", "new key", Config(), {}):
        full.write_text("frames.parquet", "new")
        raise Stop
    again = Run(full.path)
    assert not again.is_current("track", "k")
    assert again.is_current("indicators", "k")


# ---- skipping and repeating ---------------------------------------------------------------------------


def test_current_only_with_the_same_key_and_all_products(full: Run) -> None:
    run = Run(full.path)
    assert all(run.is_current(stage, "k") for stage in STAGES)
    assert not run.is_current("fit", "other") and not run.is_current("fit", "")
    run.remove("state.parquet")
    assert not run.is_current("fit", "k")
    assert not Run(full.path / "new").is_current("fit", "")


def reached(stage: str) -> set[str]:
    """Every stage that depends on this one, directly or not."""
    found = set(DEPENDENTS[stage])
    for dependent in DEPENDENTS[stage]:
        found |= reached(dependent)
    return found


@pytest.mark.parametrize("stage", STAGES)
def test_a_changed_stage_removes_what_followed_from_it(full: Run, stage: str) -> None:
    complete(full, stage, "other", key="new")
    gone = reached(stage)
    run = Run(full.path)
    assert set(run.record["stages"]) == set(STAGES) - gone
    for other, products in STAGES.items():
        assert all(run.has(name) == (other not in gone) for name in products), other
    assert set(run.summary) == {f"number_of_{s}" for s in STAGES if s not in gone}
    assert run.summary[f"number_of_{stage}"] == 5.0
    assert json.loads((run.path / "summary.json").read_text()) == run.summary


def test_a_repeated_stage_with_the_same_result_keeps_the_rest(full: Run) -> None:
    complete(full, "track", key="new")
    assert set(Run(full.path).record["stages"]) == set(STAGES)


def test_a_change_by_hand_keeps_the_stage_and_removes_what_followed_from_it(full: Run) -> None:
    repaired = pd.DataFrame({"frame": [0], "particle": [7]})
    full.amend("track", {"repairs": ["one"]}, changed={"tracks": repaired}, summary={"n_tracks": 1})
    for run in (full, Run(full.path)):
        assert run.is_current("track", "k") and list(run.record["stages"]) == ["track"]
        assert run.facts("track") == {"said": "first", "repairs": ["one"]}
        assert run.stage_summary("track") == {"number_of_track": 5.0, "n_tracks": 1}
        assert run.summary == run.stage_summary("track")
    assert full.read_table("tracks")["particle"].tolist() == [7]
    assert set(STAGES["track"]) < set(contents(full.path)) and not full.has("indicators.parquet")


@pytest.mark.parametrize("full_at", ["quality", "run.toml"])
def test_a_full_disk_leaves_a_change_by_hand_undone(
    full: Run, full_at: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = contents(full.path)
    table = pd.DataFrame({"frame": [0], "particle": [7]})

    def no_space(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    written = []
    if full_at == "quality":
        write = tables.write_parquet
        monkeypatch.setattr(
            tables, "write_parquet", lambda *a, **k: no_space() if written else written.append(write(*a, **k))
        )
    else:
        monkeypatch.setattr(tomli_w, "dumps", no_space)
    with pytest.raises(OSError, match="No space"):
        full.amend("track", {"repairs": ["one"]}, changed={"tracks": table, "quality": table})
    assert contents(full.path) == before and not list(full.path.glob(".*.part"))
    assert all(run.is_current(stage, "k") for run in (full, Run(full.path)) for stage in STAGES)
    monkeypatch.undo()
    full.amend("track", {"repairs": ["one"]}, changed={"tracks": table, "quality": table})
    assert Run(full.path).facts("track")["repairs"] == ["one"]


def test_words_about_a_stage_remove_nothing(full: Run) -> None:
    full.amend("track", {"seen": True})
    assert list(Run(full.path).record["stages"]) == list(STAGES)


def test_headline_numbers_of_a_stage_are_replaced_as_one(tmp_path: Path) -> None:
    run = Run(tmp_path)
    run.summarise("track", {"a": 1, "b": np.float64(2.5)})
    run.summarise("fit", {"c": 3})
    run.summarise("track", {"b": 4})
    assert run.summary == {"c": 3, "b": 4} and run.stage_summary("track") == {"b": 4}


def test_a_number_that_json_cannot_hold_is_refused(tmp_path: Path) -> None:
    run = Run(tmp_path)
    run.summarise("track", {"a": 1})
    with pytest.raises(ValueError, match="JSON"):
        run.summarise("track", {"a": float("nan")})
    assert run.summary == {"a": 1}


# ---- the record -----------------------------------------------------------------------------------------


def test_the_record_is_a_configuration(full: Run) -> None:
    complete(full, "fit", config=FIT)
    assert load_config(full.path / "run.toml") == FIT


def test_a_stage_records_the_options_it_obeys_and_no_others(tmp_path: Path) -> None:
    run = Run(tmp_path)
    complete(run, "track", config=load_config(None, {"track": {"memory": 7}, "fit": {"filter_steps": 9}}))
    assert set(run.record["config"]) == {"video", "track"}
    complete(run, "fit", config=FIT)
    config = load_config(tmp_path / "run.toml")
    assert config.track.memory == 7, "a later stage must not rewrite what the tracks were made with"
    assert config.fit.filter_steps == 9
    assert {s for sections in SECTIONS.values() for s in sections} == set(Config.model_fields)


def test_the_record_says_where_everything_came_from(full: Run) -> None:
    full.set_source(Path("a.mp4"), "ab" * 32, Calibration(0.1, None, "option"), {"kind": "video"})
    complete(full, "track", key="new")
    record = tomllib.loads((full.path / "run.toml").read_text())
    assert record["contract"] == CONTRACT
    assert record["source"] == {
        "path": "a.mp4",
        "sha256": "ab" * 32,
        "um_per_px": 0.1,
        "um_per_px_source": "option",
        "fps_source": "none",
        "kind": "video",
    }
    entry = record["stages"]["track"]
    assert entry["outputs"] == {name: sha256(full.path / name) for name in STAGES["track"]}
    assert entry["facts"] == {"said": "first"} and entry["key"] == "new" and entry["seconds"] >= 0
    assert record["environment"]["packages"]["numpy"] == np.__version__
    assert Run(full.path).calibration == Calibration(0.1, None, "option", "none")


def test_numpy_values_and_paths_become_plain(tmp_path: Path) -> None:
    run = Run(tmp_path)
    with run.stage("report", "k", Config(), {"none": None, "path": Path("a")}) as facts:
        facts.update(number=np.float64(0.5), flag=np.bool_(True), many=(np.int64(1), 2), nothing=None)
        run.write_text("report.html", "page")
    entry = Run(tmp_path).record["stages"]["report"]
    assert entry["facts"] == {"number": 0.5, "flag": True, "many": [1, 2]}
    assert entry["options"] == {"path": "a"}


def test_tables_carry_units_and_provenance(tmp_path: Path) -> None:
    run = Run(tmp_path)
    calibration = Calibration(0.5, 20.0, "file", "option")
    run.set_source(Path("b.mp4"), "cd", calibration, {})
    run.write_table("tracks", pd.DataFrame({"frame": [1], "x": [2.0]}))
    meta = run.read_table("tracks").attrs["colloidlab"]
    assert meta["units"] == {"frame": "", "x": "px"}
    assert meta["calibration"] == vars(calibration)
    assert meta["provenance"]["source"] == "b.mp4" and meta["provenance"]["sha256"] == "cd"
    assert set(meta["units"].values()) <= {c.unit for c in tables.COLUMNS.values()}


# ---- damage -----------------------------------------------------------------------------------------------


def unreadable(action: Callable[[], object], name: str) -> None:
    with pytest.raises(InputError) as error:
        action()
    assert name in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize(
    "content",
    [
        b"[stages",
        b"\xff\xfe\x00",
        b"contract = 99\n",
        b'contract = "one"\n',
        b"stages = 3\ncontract = 1\n",
        b'contract = 1\nsource = "a"\n',
        b"[something]\nelse = 1\n",
    ],
)
def test_a_record_that_is_damaged_or_newer_is_refused(full: Run, content: bytes) -> None:
    (full.path / "run.toml").write_bytes(content)
    unreadable(lambda: Run(full.path), "run.toml")


@pytest.mark.parametrize("content", [b"{", b"", b"[1, 2]", b"\xff"])
def test_a_damaged_summary_is_refused(full: Run, content: bytes) -> None:
    (full.path / "summary.json").write_bytes(content)
    unreadable(lambda: Run(full.path).summary, "summary.json")


def test_a_file_is_no_run_folder(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    unreadable(lambda: Run(tmp_path / "file"), "file")


def test_a_missing_stage_says_which_command_makes_it(tmp_path: Path) -> None:
    run = Run(tmp_path / "none")
    with pytest.raises(InputError, match="colloidlab fit"):
        run.require("fit")
    assert run.summary == {} and run.calibration == Calibration()
    assert not (tmp_path / "none").exists(), "asking makes no folder"

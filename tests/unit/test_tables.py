"""Tables of positions made elsewhere, and Parquet with units."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from colloidlab.errors import InputError
from colloidlab.tables import COLUMNS, METADATA_KEY, read_parquet, read_positions, write_parquet
from colloidlab.units import Calibration


def csv(tmp_path: Path, text: str, name: str = "positions.csv") -> Path:
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return path


def refused(path: Path) -> str:
    with pytest.raises(InputError) as error:
        read_positions(path)
    sentence = str(error.value)
    assert path.name in sentence and "\n" not in sentence
    return sentence


# ---- positions ------------------------------------------------------------------------------------


def test_csv_and_parquet_give_the_same(tmp_path: Path) -> None:
    table = pd.DataFrame(
        {"frame": [0, 0, 1], "particle": [1, 2, 1], "x": [1.5, 2.0, 1.25], "y": [0.0, 3.0, 0.5]}
    )
    table.to_csv(tmp_path / "a.csv", index=False)
    table.to_parquet(tmp_path / "a.parquet")
    from_csv, from_parquet = read_positions(tmp_path / "a.csv"), read_positions(tmp_path / "a.parquet")
    pd.testing.assert_frame_equal(from_csv, table)
    pd.testing.assert_frame_equal(from_parquet, table)


def test_rows_are_sorted_by_frame_and_keep_their_order_within(tmp_path: Path) -> None:
    table = read_positions(csv(tmp_path, "frame,x,y\n2,1,1\n0,5,5\n2,2,2\n0,6,6\n"))
    assert table["frame"].tolist() == [0, 0, 2, 2]
    assert table["x"].tolist() == [5, 6, 1, 2]


def test_a_comma_at_the_end_of_every_line_shifts_nothing(tmp_path: Path) -> None:
    table = read_positions(csv(tmp_path, "frame,x,y\n0,1,5,\n1,2,6,\n"))
    assert table.to_dict("list") == {"frame": [0, 1], "x": [1, 2], "y": [5, 6]}


def test_other_columns_are_kept(tmp_path: Path) -> None:
    table = read_positions(csv(tmp_path, "frame,x,y,mass,note\n0,1,1,7.5,a\n1,1,1,8.5,b\n"))
    assert table["mass"].tolist() == [7.5, 8.5] and table["note"].tolist() == ["a", "b"]


def test_a_float_column_of_whole_frames_is_taken(tmp_path: Path) -> None:
    table = read_positions(csv(tmp_path, "frame,particle,x,y\n0.0,3.0,1,1\n1.0,3.0,1,1\n"))
    assert table["frame"].dtype == table["particle"].dtype == np.int64
    assert table["frame"].tolist() == [0, 1]


@pytest.mark.parametrize("bad", ["nan", "", "inf", "-inf"])
@pytest.mark.parametrize("column", ["frame", "particle", "x", "y"])
def test_rows_without_a_value_are_left_out(tmp_path: Path, bad: str, column: str) -> None:
    row = {"frame": "1", "particle": "9", "x": "5", "y": "6"} | {column: bad}
    text = "frame,particle,x,y\n0,1,1,1\n" + ",".join(row.values()) + "\n1,1,2,2\n"
    table = read_positions(csv(tmp_path, text))
    assert table["frame"].tolist() == [0, 1]
    assert table["x"].tolist() == [1.0, 2.0]


@pytest.mark.parametrize("absent", ["frame", "x", "y"])
def test_a_missing_column_is_named(tmp_path: Path, absent: str) -> None:
    header = [c for c in ("frame", "x", "y") if c != absent]
    path = csv(tmp_path, ",".join(header) + "\n" + ",".join("1" * len(header)) + "\n")
    assert f"no column {absent};" in refused(path)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "not a readable table"),
        ("frame,x,y\n", "no rows"),
        ("frame,x,y\n,,\n,,\n", "no row with a finite"),
        ("frame,x,y\n0,a,1\n1,2,3\n", "column x is not numeric"),
        ("frame,particle,x,y\n0,P1,1,1\n1,P1,2,3\n", "column particle is not numeric"),
        ("frame,x,y\n0.5,1,1\n1,2,3\n", "holds 0.5"),
        ("frame,x,y\n-1,1,1\n1,2,3\n", "-1 is negative"),
        ("frame,x,y\n0,1,1\n1e18,2,3\n", "no index"),
        ("frame,x,y\n0,1,1\n1700000000000,2,3\n", "time stamps"),
        ("frame,particle,x,y\n0,7,1,1\n3,7,2,3\n3,7,2,4\n", "particle 7 is in frame 3 twice"),
        ("frame,x,y\n0,1,1\n0,1,1,5,5,5\n", "not a readable table"),
        ("frame,x,y\n0,1,1,7\n1,2,2,7\n", "Length of header"),
    ],
)
def test_a_wrong_table_is_refused_with_the_reason(tmp_path: Path, text: str, said: str) -> None:
    assert said in refused(csv(tmp_path, text))


def test_binary_files_are_no_tables(tmp_path: Path) -> None:
    for name in ("a.csv", "a.parquet"):
        path = tmp_path / name
        path.write_bytes(bytes(range(256)) * 4)
        assert "not a readable" in refused(path)
    assert "does not exist" in refused(tmp_path / "absent.csv")
    assert "does not exist" in refused(tmp_path / "absent.parquet")


def test_a_late_start_is_no_long_recording(tmp_path: Path) -> None:
    table = read_positions(csv(tmp_path, "frame,x,y\n1700000000,1,1\n1700000001,2,3\n"))
    assert table["frame"].tolist() == [1_700_000_000, 1_700_000_001]


# ---- Parquet with units -----------------------------------------------------------------------------


def test_units_calibration_and_provenance_travel_in_the_schema(tmp_path: Path) -> None:
    table = pd.DataFrame({"frame": [0], "x": [1.0], "temperature_px2": [0.1], "of_mine": [1]})
    calibration = Calibration(um_per_px=0.1, um_per_px_source="option")
    write_parquet(tmp_path / "t.parquet", table, calibration=calibration, provenance={"sha256": "abc"})
    raw = pq.read_schema(tmp_path / "t.parquet").metadata[METADATA_KEY]
    meta = json.loads(raw)
    assert meta["units"] == {"frame": "", "x": "px", "temperature_px2": "px^2/frame^2"}
    assert meta["calibration"] == {
        "um_per_px": 0.1,
        "fps": None,
        "um_per_px_source": "option",
        "fps_source": "none",
    }
    back = read_parquet(tmp_path / "t.parquet")
    assert back.attrs["colloidlab"] == meta
    pd.testing.assert_frame_equal(back, table, check_flags=False)


def test_a_cut_file_is_damaged(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    write_parquet(path, pd.DataFrame({"frame": range(1000), "x": np.linspace(0, 1, 1000)}))
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match="not a readable Parquet file"):
        read_parquet(path)


def test_every_unit_suffix_tells_the_truth() -> None:
    suffixes = {"_px": "px", "_um": "um", "_s": "s", "_rad": "rad", "_px2": "px^2"}
    for name, column in COLUMNS.items():
        # Per frame, as the contract's conventions say.
        if name == "temperature_px2" or (name[0] == "v" and name.endswith("_px")):
            assert column.unit.endswith(("/frame", "/frame^2")), name
            continue
        for suffix, unit in suffixes.items():
            if name.endswith(f"_per{suffix}"):
                assert column.unit == f"{suffix[1:-1]}^-{suffix[-1]}", name
            elif name.endswith(suffix):
                assert column.unit == unit, name
        assert column.meaning and not column.meaning.endswith("."), name

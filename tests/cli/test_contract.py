"""docs/run-folder.md says exactly what a run folder holds: products, columns, headline numbers, units."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import zarr

from colloidlab.config import load_config
from colloidlab.run import STAGES, Run
from colloidlab.tables import COLUMNS, METADATA_KEY

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "run-folder.md").read_text(encoding="utf-8")

NOT_FOR_TABLES = {"preview.png"}
"""A run that began with a table of positions has no image."""

ANYWHERE = {
    "t_s",
    "x_um",
    "y_um",
    "z_um",
    "radius_px",
    "sigma_x_px",
    "sigma_y_px",
    "mean",
    "std",
    "saturated",
}
"""Columns that depend on calibration and on what the input knew."""


def rows(heading: str) -> list[list[str]]:
    """Cells of the table below a heading of the page."""
    section = PAGE.split(f"## {heading}\n")[1].split("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("|")][2:]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def quoted(text: str) -> list[str]:
    """Names in the code spans of a cell, in order."""
    return [name.strip() for span in re.findall(r"`([^`]*)`", text) for name in span.split(",")]


PRODUCTS = {quoted(row[0])[0]: (row[1], row[2]) for row in rows("Files")}
KEYS = {key for row in rows("`summary.json`") for key in quoted(row[0])}


def test_the_page_names_the_products_of_every_stage() -> None:
    made_by = {name.strip("/"): stage for name, (stage, _) in PRODUCTS.items()}
    for stage, names in STAGES.items():
        for name in names:
            assert made_by[name] == {"indicators": "track"}.get(stage, stage)
    assert set(made_by) == {n for names in STAGES.values() for n in names} | {
        "run.toml",
        "summary.json",
        "preview.png",
    }


def test_the_page_lists_exactly_what_is_written(complete_run: Path) -> None:
    there = {p.name for p in complete_run.iterdir()}
    assert there == {name.strip("/") for name in PRODUCTS} - NOT_FOR_TABLES
    assert {f"`{p.name}`" for p in (complete_run / "model").iterdir()} <= set(
        re.findall(r"`[^`]*`", PRODUCTS["model/"][1])
    )


@pytest.mark.parametrize(
    "name",
    [n for n in PRODUCTS if n.endswith(".parquet") and n not in ("features.parquet", "tracks.parquet")],
)
def test_columns_are_those_of_the_page(complete_run: Path, name: str) -> None:
    written = pq.read_schema(complete_run / name).names
    like = PRODUCTS["curves.parquet"][1] if "as `curves.parquet`" in PRODUCTS[name][1] else ""
    documented = set(quoted(like + PRODUCTS[name][1]))
    assert set(written) - documented - ANYWHERE == set()
    # The columns come first in a cell; values of a column, in parentheses, follow its name.
    outside = re.sub(r"\([^)]*\)", "", like + PRODUCTS[name][1])
    promised = {n for n in quoted(outside) if "." not in n}
    values = set(quoted(" ".join(re.findall(r"\(([^)]*)\)", PRODUCTS[name][1]))))
    of_pairs = {
        f"pair_{what}_{way}" for what in ("friction", "noise") for way in ("perpendicular", "parallel")
    }
    series = {"g_r", "msd", "vacf", "d2min", "kernel", "pair_force", "pair_potential", *of_pairs, "pressure"}
    assert promised - values - series - set(written) - ANYWHERE == set()


def test_positions_have_the_columns_of_the_input_and_those_promised(complete_run: Path) -> None:
    features = pq.read_schema(complete_run / "features.parquet").names
    tracks = pq.read_schema(complete_run / "tracks.parquet").names
    assert {"frame", "x", "y"} <= set(features) and "particle" not in features
    assert set(tracks) == set(features) | {"particle"}
    assert set(tracks) <= set(quoted(PRODUCTS["features.parquet"][1])) | {"particle"}


def test_every_table_states_the_unit_of_its_columns(complete_run: Path) -> None:
    digest = Run(complete_run).record["source"]["sha256"]
    for path in complete_run.glob("*.parquet"):
        schema = pq.read_schema(path)
        meta = json.loads(schema.metadata[METADATA_KEY])
        known = {c: COLUMNS[c].unit for c in schema.names if c in COLUMNS}
        assert meta["units"] == known, path.name
        assert meta["provenance"]["sha256"] == digest, path.name


def test_the_rollout_has_the_arrays_of_the_page(complete_run: Path) -> None:
    group = zarr.open_group(complete_run / "rollout.zarr", mode="r")
    arrays = {name: array for name, array in group.arrays()}
    text = PRODUCTS["rollout.zarr"][1]
    assert all(f"`{name}`" in text for name in arrays)
    members, frames, particles, _ = arrays["positions"].shape
    assert members == 2
    assert arrays["velocities"].shape == (members, frames, particles, 2)
    assert arrays["entropy"].shape == arrays["temperature"].shape == (members, frames, particles)
    assert arrays["frame"].shape == (frames,)
    assert arrays["particle"].shape == arrays["simulated"].shape == (particles,)


def test_headline_numbers_are_those_of_the_page(complete_run: Path) -> None:
    summary = json.loads((complete_run / "summary.json").read_text())
    assert set(summary) - KEYS == set()
    located = {"diameter_px", "minmass", "separation_px", "polarity", "method"}
    of_a_video = located | {"search_range_px", "prediction", "wrong_links_expected"}
    calibrated = {"diffusion_um2_per_s", "diffusion_um2_per_s_error"}
    # Nothing drives this recording.
    driven = {key for key in KEYS if key.startswith("oscillation_")}
    of_other_laws = ("bath_", "species", "mass_", "shear_modulus", "lindemann", "share_without")
    bathed = {key for key in KEYS if key.startswith(of_other_laws)}
    since = {"d2min_reference_frame"}  # in place of the lag
    other = {"psi_fold_mean"}  # of another fold than six
    unjudged = {"rollout_unjudged"}  # the rollouts are of held-out frames
    # The isothermal laws are rolled out, which is said, where no temperature was identified.
    unsaid = {"rollout_notes"} if summary["temperature_identified"] else set()
    absent = of_a_video | calibrated | driven | bathed | since | other | unjudged | unsaid
    assert driven and bathed and KEYS - set(summary) == absent


def test_the_record_is_a_configuration_that_names_what_was_given(complete_run: Path) -> None:
    config = load_config(complete_run / "run.toml")
    assert (config.fit.filter_steps, config.fit.window_frames, config.simulate.ensemble) == (8, 8, 2)

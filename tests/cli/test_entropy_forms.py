"""`fit --entropy`: each form from the fit to the rollout."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import recordings
from commands import Command

from colloidlab.model.species import count_species
from colloidlab.model.store import load_fit
from colloidlab.run import Run
from colloidlab.tables import write_parquet


@pytest.mark.slow
@pytest.mark.parametrize("form", ["isothermal", "encoder"])
def test_each_form_is_fitted_saved_and_rolled_out(command: Command, copy_of_run: Path, form: str) -> None:
    options = [*recordings.QUICK_FIT, "--scoring-rounds", "0"]
    done = command("fit", copy_of_run, *options, "--entropy", form)
    assert done.code == 0, done.err
    done = command("simulate", copy_of_run, "--ensemble", "1", "--frames", "4")
    assert done.code == 0, done.err
    run, summary = Run(copy_of_run), json.loads((copy_of_run / "summary.json").read_text())
    assert run.facts("fit")["entropy"] == summary["entropy"] == form
    assert run.record["config"]["fit"]["entropy"] == form
    isothermal, thermal, facts = load_fit(copy_of_run / "model")
    assert facts["entropy"] == thermal.inference.form == form
    assert isothermal.inference.form == "isothermal"
    state = pd.read_parquet(copy_of_run / "state.parquet")
    models = pd.read_parquet(copy_of_run / "likelihood.parquet")["model"].tolist()
    baselines = ["constant_velocity", "diffusion", "isothermal"]
    gains = {"entropy_gain", "entropy_gain_low", "filter_steps"}
    if form == "isothermal":
        assert thermal is isothermal
        assert models == baselines
        assert state["temperature_px2"].nunique() == state["entropy"].nunique() == 1
        assert not {*gains, "loglik_filter"} & set(summary)
        assert summary["temperature_identified"] is False
    else:
        assert models == [*baselines, "encoder"]
        assert state["temperature_px2"].nunique() > 100
        assert state[["sigma_ln_temperature", "sigma_entropy"]].isna().all(axis=None)
        assert {*gains, "loglik_encoder"} <= set(summary)
    phases = set(pd.read_parquet(copy_of_run / "training.parquet")["phase"])
    assert ("encoder" in phases) == (form == "encoder")
    assert "filter" not in phases
    assert np.isfinite(summary["rollout_g_r_error"])


@pytest.mark.slow
def test_a_bath_and_cohesion_go_from_the_fit_to_the_report(command: Command, copy_of_run: Path) -> None:
    options = [
        *recordings.QUICK_FIT,
        "--scoring-rounds",
        "0",
        "--bath",
        "--bath-temperature-px2",
        "0.2",
        "--cohesion",
    ]
    done = command("fit", copy_of_run, *options)
    assert done.code == 0, done.err
    summary = json.loads((copy_of_run / "summary.json").read_text())
    drag = [summary[f"bath_friction_per_frame{end}"] for end in ("_low", "", "_high")]
    assert 0 < drag[0] < drag[1] < drag[2]
    assert summary["bath_temperature_px2"] == summary["bath_temperature_px2_low"] == pytest.approx(0.2)
    _, thermal, _ = load_fit(copy_of_run / "model")
    assert float(thermal.laws.bath.friction) == pytest.approx(drag[1])
    assert "pair_potential" in set(pd.read_parquet(copy_of_run / "functions.parquet")["quantity"])
    done = command("simulate", copy_of_run, "--ensemble", "1", "--frames", "4")
    assert done.code == 0, done.err
    assert command("report", copy_of_run).code == 0
    assert "Bath: drag" in (copy_of_run / "report.html").read_text(encoding="utf-8")


@pytest.mark.slow
def test_a_solid_goes_from_the_fit_to_the_report(
    command: Command, copy_of_run: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The sample flows; that is said, and what was asked for is done."""
    done = command("fit", copy_of_run, *recordings.QUICK_FIT, "--scoring-rounds", "0", "--solid")
    assert done.code == 0, done.err
    summary = json.loads((copy_of_run / "summary.json").read_text())
    low, modulus, high = (summary[f"shear_modulus_px2{end}"] for end in ("_low", "", "_high"))
    assert 0 < low < modulus < high
    assert ("Lindemann parameter" in caplog.text) == (summary["lindemann_parameter"] > 0.033)
    _, thermal, _ = load_fit(copy_of_run / "model")
    assert float(thermal.laws.shear.log_moduli.exp()) == pytest.approx(modulus)
    done = command("simulate", copy_of_run, "--ensemble", "1", "--frames", "4")
    assert done.code == 0, done.err
    summary = json.loads((copy_of_run / "summary.json").read_text())
    assert summary["rollout_step"].startswith("laws themselves")
    assert command("report", copy_of_run).code == 0
    page = (copy_of_run / "report.html").read_text(encoding="utf-8")
    assert "Shear γ of a neighbourhood costs g γ²/2" in page


@pytest.mark.slow
def test_species_go_from_the_tracks_to_the_report(command: Command, copy_of_run: Path) -> None:
    run = Run(copy_of_run)
    tracks = run.read_table("tracks")
    tracks["species"] = np.where(tracks["particle"] % 2 == 0, "even", "odd")
    write_parquet(copy_of_run / "tracks.parquet", tracks, calibration=run.calibration)
    done = command("fit", copy_of_run, *recordings.QUICK_FIT, "--scoring-rounds", "0", "--species", "2")
    assert done.code == 0, done.err
    n_tracks = tracks.drop_duplicates("particle")["species"].value_counts()
    summary = json.loads((copy_of_run / "summary.json").read_text())
    assert summary["species"] == n_tracks.to_dict()
    low, mass, high = (summary[f"species_masses{end}"]["odd"] for end in ("_low", "", "_high"))
    assert 0 < low < mass < high and summary["species_masses"]["even"] == 1
    _, thermal, _ = load_fit(copy_of_run / "model")
    assert count_species(thermal.laws) == 2
    functions = pd.read_parquet(copy_of_run / "functions.parquet")
    of_force = functions.loc[functions["quantity"] == "pair_force", "species"]
    assert list(of_force.unique()) == ["even + even", "even + odd", "odd + odd"]
    assert set(functions.loc[functions["quantity"] == "pressure", "species"]) == {""}
    done = command("simulate", copy_of_run, "--ensemble", "1", "--frames", "4")
    assert done.code == 0, done.err
    assert command("report", copy_of_run).code == 0
    assert "Masses in units of that of even: odd" in (copy_of_run / "report.html").read_text(encoding="utf-8")
    tracks.loc[0, "species"] = "other"
    write_parquet(copy_of_run / "tracks.parquet", tracks, calibration=run.calibration)
    done = command("fit", copy_of_run, "--species", "2", "--fit-seed", "1")
    assert done.code == 4 and "names 3 species (even, odd, other)" in done.err


@pytest.mark.slow
def test_masses_go_with_sizes_where_that_is_said(
    command: Command, copy_of_run: Path, caplog: pytest.LogCaptureFixture
) -> None:
    options = [
        *recordings.QUICK_FIT,
        "--scoring-rounds",
        "0",
        "--entropy",
        "isothermal",
        "--mass-exponent",
        "3",
    ]
    run = Run(copy_of_run)
    assert command("fit", copy_of_run, *options, "--species", "2").code == 2
    tracks = run.read_table("tracks")
    for radius, code in ((5.0, 4), (4.0 + tracks["particle"] % 3, 0)):
        table = tracks.assign(radius_px=radius)
        write_parquet(copy_of_run / "tracks.parquet", table, calibration=run.calibration)
        done = command("fit", copy_of_run, *options, "--species", "1", "--fit-seed", str(code))
        assert done.code == code, done.err
    assert "the radii of the particles fall into two groups" in caplog.text
    assert float(load_fit(copy_of_run / "model")[0].laws.inertia.exponent) == 3
    done = command("simulate", copy_of_run, "--ensemble", "1", "--frames", "4")
    assert done.code == 0, done.err
    summary = json.loads((copy_of_run / "summary.json").read_text())
    assert summary["rollout_momentum_drift"] < 1e-9


def test_the_temperature_of_no_bath_is_refused(command: Command, copy_of_run: Path) -> None:
    done = command("fit", copy_of_run, "--bath-temperature-px2", "0.2")
    assert done.code == 2
    assert "--bath" in done.err


@pytest.mark.parametrize(
    ("low", "said"),
    [
        (-0.001, "which is not above zero: the temperature is not identified"),
        (0.001, "the temperature is identified"),
    ],
)
def test_the_fit_ends_with_whether_the_temperature_is_identified(
    command: Command, copy_of_run: Path, low: float, said: str
) -> None:
    path = copy_of_run / "summary.json"
    summary = json.loads(path.read_text())
    summary |= {"entropy_gain": 0.01, "entropy_gain_low": low, "temperature_identified": low > 0}
    path.write_text(json.dumps(summary))
    done = command("fit", copy_of_run, *recordings.QUICK_FIT)
    assert done.code == 0, done.err
    last = done.out.strip().splitlines()[-1]
    assert said in last and "0.010 nats per particle and frame" in last
    done = command("fit", copy_of_run, *recordings.QUICK_FIT, "--json")
    assert json.loads(done.out)["verdict"] == last


def test_an_unknown_form_is_refused(command: Command, complete_run: Path) -> None:
    done = command("fit", complete_run, "--entropy", "teacher")
    assert done.code == 2
    assert "entropy" in done.err and "encoder" in done.err


def test_the_errors_of_entropy_and_temperature_are_one_error(complete_run: Path) -> None:
    _, thermal, _ = load_fit(complete_run / "model")
    state = pd.read_parquet(complete_run / "state.parquet")
    heat_capacity = state["sigma_entropy"] / state["sigma_ln_temperature"]
    # That of a sum of terms lies between those of its terms.
    of_terms = thermal.laws.energy.heat_capacities.detach().numpy()
    assert heat_capacity.notna().all()
    assert heat_capacity.between(of_terms.min() * (1 - 1e-9), of_terms.max() * (1 + 1e-9)).all()

"""Numbers, units and sentences of the report."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from report_fixture import Layer, make_run

from colloidlab.report import words
from colloidlab.report.results import Results
from colloidlab.units import Calibration


@pytest.mark.parametrize(
    ("value", "error", "expected"),
    [
        (12.3456, 0.5, "12.3 ± 0.5"),
        (12.3456, 0.25, "12.35 ± 0.25"),
        (1234.5, 40.0, "1234 ± 40"),
        (-0.5, 0.04, "−0.50 ± 0.04"),
        (0.02, 0.4, "0.0 ± 0.4"),
        (2e-5, 3e-6, "(2.0 ± 0.3)×10⁻⁵"),
        (0.41, math.nan, "0.41"),
        (0.41, 0.0, "0.41"),
    ],
)
def test_a_value_is_rounded_with_its_error(value: float, error: float, expected: str) -> None:
    assert words.with_error(value, error) == expected


def test_calibration_sentence_says_what_is_missing_and_how_to_give_it() -> None:
    nothing = words.calibration_sentence(Calibration())
    assert "Lengths are in px and times in frames: give --um-per-px and --fps." in nothing
    assert "Mass is never known from a video" in nothing
    only_length = words.calibration_sentence(Calibration(um_per_px=0.1, um_per_px_source="option"))
    assert "0.1 µm/px (given as an option)" in only_length
    assert "Times are in frames: give --fps." in only_length
    assert "--um-per-px" not in only_length
    only_time = words.calibration_sentence(Calibration(fps=24, fps_source="file"))
    assert "Lengths are in px: give --um-per-px." in only_time
    both = words.calibration_sentence(Calibration(um_per_px=0.1, fps=24))
    assert "give" not in both


def test_verdict_of_an_identified_run_adds_the_gains(tmp_path: Path) -> None:
    verdict = words.verdict(Results(make_run(tmp_path / "run", "fit")))
    # constant velocity lies 0.41 below isothermal (half-width 0.03), the filter 0.036 above it (0.01)
    assert verdict == (
        "144 particles per frame (151 tracks) in 30 frames; 2 frames damaged or missing; inertial; the "
        "model beats constant velocity by 0.45 ± 0.03 nats per particle and frame; temperature identified."
    )


def test_verdict_of_an_unidentified_run_counts_the_isothermal_model_alone(tmp_path: Path) -> None:
    results = Results(make_run(tmp_path / "run", "fit", Layer(identified=False)))
    assert "beats constant velocity by 0.41 ± 0.03" in words.verdict(results)
    assert words.verdict(results).endswith("temperature not identified.")
    assert "which is not above zero" in words.entropy_gain(results)


def test_a_fit_that_preferred_one_temperature_says_so(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", "fit", Layer(identified=False))
    run.summarise("fit", run.summary | {"one_temperature_preferred": True})
    said = words.entropy_gain(Results(run))
    assert said.startswith("The frames that choose between the fits preferred one temperature")
    assert "not identified" in said and "not above zero" not in said


@pytest.mark.parametrize(("lindemann", "said"), [(0.01, "keep their places"), (0.08, "move past each other")])
def test_a_solid_is_told_from_what_flows(tmp_path: Path, lindemann: float, said: str) -> None:
    run = make_run(tmp_path / "run", "fit", Layer(identified=False))
    assert words.solid(Results(run)) == ""
    found = {"shear_modulus_px2": 9.6, "lindemann_parameter": lindemann}
    run.summarise("fit", run.summary | found)
    assert "interval not known" in words.solid(Results(run)) and said in words.solid(Results(run))
    run.summarise("fit", run.summary | {"shear_modulus_px2_low": 9.0, "shear_modulus_px2_high": 10.2})
    assert "95 % interval" in words.solid(Results(run)) and "cannot hold zero" in words.solid(Results(run))


def test_a_gain_over_a_law_that_describes_nothing_is_no_temperature(tmp_path: Path) -> None:
    """The interval lies above zero, but a baseline wins: the sentence must not say otherwise."""
    run = make_run(tmp_path / "run", "fit", Layer(identified=False))
    run.summarise(
        "fit",
        {
            "temperature_identified": False,
            "entropy_gain": 0.036,
            "entropy_gain_low": 0.026,
            "entropy_gain_high": 0.046,
            "loglik_constant_velocity": -0.2,
            "loglik_diffusion": -0.1,
            "loglik_isothermal": -0.5,
            "loglik_filter": -0.464,
        },
    )
    said = words.entropy_gain(Results(run))
    assert "not above zero" not in said
    assert "but diffusion predicts held-out frames no worse" in said and "not identified" in said


def test_an_isothermal_run_claims_no_temperature_of_single_particles(tmp_path: Path) -> None:
    results = Results(make_run(tmp_path / "run", "fit", Layer(entropy="isothermal")))
    verdict = words.verdict(results)
    assert "beats constant velocity by 0.41 ± 0.03" in verdict
    assert verdict.endswith("one temperature was fitted for all particles.")
    assert words.entropy_gain(results).startswith("No temperature of single particles was fitted")


def test_the_verdict_of_an_encoder_counts_its_own_gain(tmp_path: Path) -> None:
    results = Results(make_run(tmp_path / "run", "fit", Layer(entropy="encoder")))
    assert "by 0.45 ± 0.03 nats per particle and frame; temperature identified." in words.verdict(results)
    assert words.entropy_gain(results).startswith("Reading a hidden temperature per particle off each frame")


def test_verdict_does_not_claim_what_the_interval_does_not_bear(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", "fit", Layer(identified=False))
    table = run.read_table("likelihood")
    table.loc[table["model"] == "constant_velocity", ["gain", "gain_low", "gain_high"]] = -0.02, -0.05, 0.01
    run.write_table("likelihood", table)
    assert "does not beat constant velocity: 0.02 ± 0.03 nats" in words.verdict(Results(run))


@pytest.mark.parametrize(
    ("calibration", "unit"),
    [(Calibration(), "px²/frame"), (Calibration(um_per_px=0.2, fps=50), "µm²/s")],
)
def test_diffusion_is_given_with_its_error_and_unit(
    tmp_path: Path, calibration: Calibration, unit: str
) -> None:
    run = make_run(tmp_path / "run", "track", Layer(calibration=calibration))
    assert f"0.412 ± 0.014 {unit}" in words.diffusion(Results(run))


def test_rollouts_that_nothing_judges_say_why(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", "fit")
    why = "frames 20 to 39 are not held out"
    run.summarise("simulate", {"rollout_unjudged": why, "rollout_notes": ["this was done", "that was not"]})
    results = Results(run)
    assert words.unjudged(results) == words.rearrangement_verdict(results) == f"{why.capitalize()}."
    assert words.notes_on_rollouts(results) == "This was done. That was not."
    run.summarise("simulate", {})
    assert words.unjudged(Results(run)) == words.notes_on_rollouts(Results(run)) == ""

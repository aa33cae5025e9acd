"""Localisation errors that stay: only what is new in every frame is noise, and the fit finds how much that is."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from colloidlab.benchmarks.learner_functions import function_errors
from colloidlab.dataset.recording import Recording, from_tracks, rectangle_edge_distance
from colloidlab.dataset.regime import judge
from colloidlab.dataset.split import split_by_time
from colloidlab.model.entropy import ConstantEntropy
from colloidlab.model.filter import Filter
from colloidlab.model.forms import isothermal_laws
from colloidlab.model.guess import first_guess
from colloidlab.model.localisation import ErrorScale, LocalisationError
from colloidlab.model.sequence import WindowSource
from colloidlab.model.store import load_fit, save_fit
from colloidlab.model.train import TrainOptions, fit_isothermal
from colloidlab.synthetic.gas import Gas, observe, simulate_gas

GAS = Gas(n=120, heat_capacity=2000.0, wave=0.0)
NEW, STAYING = 0.07, 0.07
STATED = float(np.hypot(NEW, STAYING))


@pytest.mark.slow
def test_the_part_of_the_stated_errors_that_is_new_is_found(tmp_path) -> None:
    motion = simulate_gas(GAS, 100, seed=4)
    offset = np.random.default_rng(4).normal(0, STAYING, motion.r.shape[1:])
    seen = observe(replace(motion, r=motion.r + offset), NEW, seed=4)
    stated = replace(seen, sigma=np.full_like(seen.sigma, STATED))
    found, taken = (_fit(replace(stated, sigma_new=new)) for new in (False, True))
    assert taken.error is None and isinstance(found.error, ErrorScale)
    assert float(found.error.scale) == pytest.approx(NEW / STATED, rel=0.1)
    # What is taken for noise of the camera is missing in the noise of the motion.
    noise, too_low = (function_errors(f.laws, GAS, motion).noise.overall for f in (found, taken))
    assert too_low < noise - 0.1 and too_low < -0.1
    guess = first_guess(stated, judge(stated, 1.5 * GAS.cutoff), GAS.cutoff)
    save_fit(tmp_path / "model", found, found, guess, {})
    again, _, _ = load_fit(tmp_path / "model")
    assert isinstance(again.error, ErrorScale)
    assert float(again.error.scale) == pytest.approx(float(found.error.scale), rel=1e-12)


def _fit(recording: Recording) -> Filter:
    guess = first_guess(recording, judge(recording, 1.5 * GAS.cutoff), GAS.cutoff)
    split = split_by_time(recording.first, recording.stop, 0.75, 0.15)
    options = TrainOptions(isothermal_steps=120, scoring_rounds=2)
    return fit_isothermal(WindowSource(recording, GAS.cutoff), split, guess, options, [])


def _drifting(sigma: float) -> pd.DataFrame:
    frame, particle = np.indices((4, 3)).reshape(2, -1)
    return pd.DataFrame(
        {
            "frame": frame,
            "particle": particle,
            "x": 10.0 * particle + frame,
            "y": 5.0 * particle**2,
            "sigma_x_px": sigma,
            "sigma_y_px": 2 * sigma,
        }
    )


def test_a_factor_that_is_given_is_taken() -> None:
    view = rectangle_edge_distance(0, 0, 50, 50)
    half = from_tracks(_drifting(0.2), view, sigma_scale=0.5)
    np.testing.assert_allclose(half.sigma, np.tile([0.1, 0.2], (12, 1)))
    unknown = from_tracks(_drifting(0.2), view, sigma_scale=None)
    np.testing.assert_allclose(unknown.sigma, 2 * half.sigma)
    assert half.sigma_new and not unknown.sigma_new
    # A number for all is the user's word.
    assert from_tracks(_drifting(0.2), view, sigma_px=0.3, sigma_scale=None).sigma_new


def test_the_filter_takes_what_is_new() -> None:
    recording = from_tracks(_drifting(0.2), rectangle_edge_distance(0, 0, 50, 50))
    window = WindowSource(recording, 12.0)(0, 4)
    guess = first_guess(*_inertial())
    for error, expected in (
        (None, [0.04, 0.16]),
        (ErrorScale(0.5), [0.01, 0.04]),
        (LocalisationError(0.3), [0.13, 0.25]),
    ):
        variance = Filter(isothermal_laws(guess), ConstantEntropy(), 1.0, error).localisation_variance(window)
        np.testing.assert_allclose(variance.detach(), np.broadcast_to(expected, (4, 3, 2)), rtol=1e-9)


def _inertial():
    recording = observe(simulate_gas(replace(GAS, n=60), 20, seed=1), 0.0, seed=1)
    return recording, judge(recording, 1.5 * GAS.cutoff), GAS.cutoff

"""The smallest gas that a whole fit goes through, and a fit to it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import pytest
import torch
from small_gas import CUTOFF, record, simulate, thermal_gas, watch

from colloidlab.dataset.recording import Recording
from colloidlab.dataset.regime import judge
from colloidlab.dataset.split import Split, split_by_time
from colloidlab.model import train_options
from colloidlab.model.filter import Filter
from colloidlab.model.forms import Guess
from colloidlab.model.guess import first_guess
from colloidlab.model.train import Fit, TrainOptions, fit_laws
from colloidlab.model.trained_parts import trained_parts
from colloidlab.progress import SILENT, Monitor

QUICK = TrainOptions(
    isothermal_steps=3, filter_steps=5, window_frames=4, burn_in_frames=2, scoring_rounds=1, seed=3
)
"""With trials of two steps (`short_trials`), enough to go through every part of a fit."""


@pytest.fixture
def short_trials(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two steps are no trial, but they take the time of two."""
    monkeypatch.setattr(train_options, "LEAST_TRIAL_STEPS", 2)


@dataclass(frozen=True)
class Subject:
    """A recording with what a fit needs to begin."""

    recording: Recording
    split: Split
    guess: Guess

    def fit(self, options: TrainOptions = QUICK, monitor: Monitor = SILENT, **others: Any) -> Fit:
        return fit_laws(self.recording, self.split, self.guess, options, monitor, **others)


@cache
def subject() -> Subject:
    """Forty particles over forty frames, some at an edge; the localisation error is not stated."""
    motion = simulate(thermal_gas(), n=40, n_frames=40, seed=5, steps=3)
    recording = record(watch(motion, 0.05), motion.box)
    guess = first_guess(recording, judge(recording, 1.5 * CUTOFF), CUTOFF)
    # So small a view has no interior: most of its edge is taken for that of a larger one.
    recording = replace(recording, sigma_stated=False, edge=recording.edge + 0.9 * CUTOFF)
    return Subject(recording, split_by_time(0, 40, 0.55, 0.22), guess)


def weights(fit: Fit) -> dict[str, torch.Tensor]:
    """All numbers that were fitted."""
    found = {}
    for name, filter_ in (("isothermal", fit.isothermal), ("thermal", fit.thermal)):
        found |= {f"{name}.{key}": value for key, value in trained_parts(filter_).state_dict().items()}
    return found


def same(one: Fit, other: Fit) -> bool:
    """The same bits, in weights and curves?"""
    a, b = weights(one), weights(other)
    assert a.keys() == b.keys()
    rows = [[(r.phase, r.step, r.train_loglik, r.validation_loglik) for r in f.curves] for f in (one, other)]
    return rows[0] == rows[1] and all(torch.equal(a[key], b[key]) for key in a)


def finite(filter_: Filter) -> bool:
    """Are all numbers of a filter finite?"""
    return all(bool(torch.isfinite(v).all()) for v in trained_parts(filter_).state_dict().values())

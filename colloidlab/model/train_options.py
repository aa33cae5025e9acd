"""How long and how to train."""

from __future__ import annotations

from dataclasses import dataclass

from colloidlab.model.forms import EntropyForm

LEAST_TRIAL_STEPS = 8
"""Fewer cannot tell which sign of the exponent of temperature fits."""


@dataclass(frozen=True)
class TrainOptions:
    """How long and how to train; see `config.FitConfig`. Scoring may end before its rounds are up.

    `correction_rounds` is for whoever hands `fit_laws` its correction, and for the time that a fit takes.
    """

    isothermal_steps: int = 250
    filter_steps: int = 120
    window_frames: int = 20
    burn_in_frames: int = 10
    scoring_rounds: int = 3
    correction_rounds: int = 0
    seed: int = 0
    batch_windows: int = 1
    patience: int = 5
    entropy: EntropyForm = "filter"

    @property
    def trial_steps(self) -> int:
        """Of the steps with entropy, those that each sign of the exponent of temperature is tried with."""
        return max(LEAST_TRIAL_STEPS, self.filter_steps // 6)

    @property
    def further_steps(self) -> int:
        """Steps of the better sign after its trial."""
        return max(self.filter_steps - self.trial_steps, 1)

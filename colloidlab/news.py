"""What long work finds before its end, told through `Monitor.tell` to whoever wants to show it while it grows.

Light on purpose: whoever shows it need not import what computes it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class TrainingStep:
    """One step of the optimiser.

    Attributes
    ----------
    phase : str
    step : int
        Of the phase, from 1 on.
    train_loglik : float
        Of its windows, nats per particle and frame.
    """

    phase: str
    step: int
    train_loglik: float


@dataclass(frozen=True)
class Evaluation:
    """One row of the training curves; those before an interruption are told again.

    Attributes
    ----------
    phase : str
    step : int
        Steps of the phase so far.
    seconds : float
        Spent in the phase.
    train_loglik : float
        Mean since the row before, nats per particle and frame.
    validation_loglik : float
        Of the validation block.
    """

    phase: str
    step: int
    seconds: float
    train_loglik: float
    validation_loglik: float


@dataclass(frozen=True)
class RolloutPart:
    """Frames of a rollout that follow those told before; the first ones again where it goes on after an interruption.

    Attributes
    ----------
    first, n_frames : int
        Frame of the recording at which the rollout starts, and its length.
    done : int
        Frames before this part.
    particles : int array, shape (n,)
        Track identities.
    simulated : bool array, shape (n,)
        The others follow what is prescribed.
    positions : float array, shape (members, frames of this part, n, 2), px
        NaN where a particle is absent.
    """

    first: int
    n_frames: int
    done: int
    particles: np.ndarray
    simulated: np.ndarray
    positions: np.ndarray


News = TrainingStep | Evaluation | RolloutPart

"""The optimisation loop of every phase: Adam with a falling rate, clipped gradients, early stopping, checkpoints."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from colloidlab.errors import ColloidlabError
from colloidlab.model.batch_loss import Batch
from colloidlab.model.checkpoint import State
from colloidlab.model.distributed import Machine
from colloidlab.model.journal import Evaluation, Journal
from colloidlab.model.trained_parts import Best

_CLIP = 5.0
"""Largest norm of the gradient of the mean log-likelihood."""

_LEAST_RATE = 0.05
"""Rate at the end over that at the start; between them it follows half a cosine."""


_MOST_BETWEEN = 30
"""Steps between two looks in a long phase, so that patience is not worth the whole of it."""


def steps_between(n_steps: int, looks: int) -> int:
    """Steps between two looks at the validation block, of which there are `looks` in a phase that is not long."""
    return min(math.ceil(n_steps / looks), _MOST_BETWEEN)


@dataclass(frozen=True)
class Phase:
    """One phase of a fit.

    Attributes
    ----------
    name : str
    n_steps : int
    rate : float
        Learning rate at its start.
    every : int
        Steps between two looks at the validation block; there is one at the end.
    patience : int
        Looks without a better likelihood after which it ends early.
    """

    name: str
    n_steps: int
    rate: float
    every: int
    patience: int


class Loop:
    """Takes the steps of one phase.

    What is not finite ends in an error that names its frames; the weights are then still those of the step before.

    Parameters
    ----------
    phase : Phase
    parts : nn.Module
        Their parameters that require a gradient are optimised.
    best : Best
        Is offered the weights at every look.
    journal : Journal
    machine : Machine
    """

    def __init__(
        self, phase: Phase, parts: nn.Module, best: Best, journal: Journal, machine: Machine
    ) -> None:
        self._phase, self._best, self._journal, self._machine = phase, best, journal, machine
        self._parameters = [p for p in parts.parameters() if p.requires_grad]
        self._optimizer = torch.optim.Adam(self._parameters, lr=phase.rate)
        self._step, self._waited, self._recent = 0, 0, list[float]()
        self._before, self._started = 0.0, time.perf_counter()
        interrupted = journal.interrupted(phase.name)
        if interrupted:
            self._restore(interrupted)

    def run(self, loss: Callable[[], Batch], validate: Callable[[], float]) -> None:
        """Take the steps that are left, and finish the phase.

        Parameters
        ----------
        loss : callable() -> Batch
            Of the next batch.
        validate : callable() -> float
            Mean log-likelihood of the validation block, nats per particle and frame.
        """
        phase, journal = self._phase, self._journal
        while self._step < phase.n_steps and self._waited < phase.patience:
            journal.between_steps(phase.name, self._step, phase.n_steps, self)
            self._take_step(loss)
            if self._step % phase.every == 0 or self._step == phase.n_steps:
                self._look(validate)
        journal.between_steps(phase.name, phase.n_steps, phase.n_steps, self)

    def _take_step(self, loss: Callable[[], Batch]) -> None:
        phase = self._phase
        falling = 0.5 * (1 + math.cos(math.pi * self._step / phase.n_steps))
        rate = phase.rate * (_LEAST_RATE + (1 - _LEAST_RATE) * falling)
        for group in self._optimizer.param_groups:
            group["lr"] = rate
        batch = loss()
        self._check(math.isfinite(batch.loglik), "likelihood", batch)
        self._optimizer.zero_grad()
        batch.loss.backward()
        norm = float(nn.utils.clip_grad_norm_(self._parameters, _CLIP))
        self._check(math.isfinite(norm), "gradient", batch)
        self._optimizer.step()
        self._step += 1
        self._recent.append(batch.loglik)
        numbers = {"train_loglik": batch.loglik, "learning_rate": rate, "gradient_norm": norm}
        self._journal.add_step(phase.name, self._step, numbers)

    def _check(self, finite: bool, what: str, batch: Batch) -> None:
        if not finite:
            raise ColloidlabError(
                f"the fit ({self._phase.name}, step {self._step}) met a non-finite {what} in frames "
                f"{batch.suspects(self._machine)}; tracks with wild jumps are the usual cause: look at them there, at "
                "search_range_px, or give a larger sigma_px"
            )

    def _look(self, validate: Callable[[], float]) -> None:
        (validation,) = self._machine.agreed([validate()])
        self._journal.add(
            Evaluation(self._phase.name, self._step, self._seconds, float(np.mean(self._recent)), validation)
        )
        self._recent.clear()
        self._waited = 0 if self._best.offer(validation) else self._waited + 1

    # ---- interruptions ----------------------------------------------------------------------

    @property
    def _seconds(self) -> float:
        """Spent in this phase, before an interruption too."""
        return self._before + time.perf_counter() - self._started

    def state(self) -> State:
        """As `Stateful`."""
        moments = self._optimizer.state_dict()["state"]
        return {
            "step": self._step,
            "waited": self._waited,
            "recent": list(self._recent),
            "seconds": self._seconds,
            "moments": {str(k): dict(values) for k, values in moments.items()},
        }

    def _restore(self, state: State) -> None:
        self._step, self._waited = int(state["step"]), int(state["waited"])
        self._recent, self._before = list(state["recent"]), float(state["seconds"])
        moments = {int(k): values for k, values in state["moments"].items()}
        groups = self._optimizer.state_dict()["param_groups"]
        self._optimizer.load_state_dict({"state": moments, "param_groups": groups})

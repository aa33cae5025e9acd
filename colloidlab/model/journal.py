"""What a fit has done so far, and the state from which it goes on after an interruption."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any, Protocol

import torch

from colloidlab.errors import Cancelled
from colloidlab.model.checkpoint import FitCheckpoint, State
from colloidlab.model.train_options import TrainOptions
from colloidlab.model.training_log import TrainingLog
from colloidlab.news import Evaluation, TrainingStep
from colloidlab.progress import Monitor

__all__ = ["Evaluation", "Journal", "Saved", "Stateful"]


class Saved(Protocol):
    """What can be saved between two steps."""

    def state(self) -> State:
        """Everything that later steps depend on."""
        ...


class Stateful(Saved, Protocol):
    """What can be saved between two steps and restored."""

    def restore(self, state: State) -> None:
        """Go on from what `state` gave."""
        ...


class Journal:
    """Training curves, finished phases, and all that is being fitted; on disk too, where a checkpoint is given.

    A fit is the same sequence of phases every time. After an interruption it is called again: finished phases are
    passed over, the phase that was under way goes on after its last saved step, and the rest follows. All
    that later steps depend on is restored to the last bit.

    Parameters
    ----------
    monitor : Monitor
        Is told every step and every row of the curves.
    options : TrainOptions
        A checkpoint of others is not gone on from.
    curves : list of Evaluation, optional
        Rows are added to it.
    checkpoint : FitCheckpoint, optional
    log : TrainingLog, optional

    Attributes
    ----------
    n_steps : int
        Of the optimiser, in all phases.
    """

    def __init__(
        self,
        monitor: Monitor,
        options: TrainOptions,
        *,
        curves: list[Evaluation] | None = None,
        checkpoint: FitCheckpoint | None = None,
        log: TrainingLog | None = None,
    ) -> None:
        self.monitor = monitor
        self.curves: list[Evaluation] = [] if curves is None else curves
        self._checkpoint, self._log = checkpoint, log
        self._options = asdict(options)
        self._parts: dict[str, Stateful] = {}
        saved = {} if checkpoint is None else checkpoint.load()
        self._saved = saved if saved.get("options") == self._options else {}
        for row in self._saved.get("curves", []):
            self.curves.append(Evaluation(**row))
            monitor.tell(self.curves[-1])
        self._finished: list[str] = list(self._saved.get("finished", []))
        self.n_steps = int(self._saved.get("steps", 0))
        if self._saved:
            torch.set_rng_state(self._saved["generator"])
        if log is not None:
            log.begin(self.n_steps)

    # ---- phases -----------------------------------------------------------------------------

    def keep(self, name: str, part: Stateful) -> bool:
        """Save this part with every checkpoint from now on; True when an earlier state of it was restored."""
        self._parts[name] = part
        saved = self._saved.get("parts", {}).get(name)
        if saved is not None:
            part.restore(saved)
        return saved is not None

    def finished(self, phase: str) -> bool:
        """Is the phase behind us?"""
        return phase in self._finished

    def finish(self, phase: str) -> None:
        """The phase is complete, and so is the state of all parts."""
        self._finished.append(phase)
        self._write(phase, {})

    def interrupted(self, phase: str) -> State:
        """The state in which the loop of this phase was interrupted; empty where it was not."""
        loop: State = self._saved.get("loop", {}) if self._saved.get("phase") == phase else {}
        return {} if self.finished(phase) else loop

    # ---- steps ------------------------------------------------------------------------------

    def between_steps(self, phase: str, step: int, n_steps: int, loop: Saved) -> None:
        """Report, save when it is time, and save when the user wants to stop."""
        try:
            self.monitor.update(f"fit, {phase}", step, n_steps)
        except Cancelled:
            self._write(phase, loop.state())
            raise
        if self._checkpoint is not None and self._checkpoint.due:
            self._write(phase, loop.state())

    def add_step(self, phase: str, step: int, values: dict[str, float]) -> None:
        """Numbers of one step, `train_loglik` among them."""
        self.n_steps += 1
        self.monitor.tell(TrainingStep(phase, step, values["train_loglik"]))
        for name, value in values.items():
            self._log_value(phase, name, value)

    def add(self, row: Evaluation) -> None:
        """A row of the training curves."""
        self.curves.append(row)
        self.monitor.tell(row)
        self._log_value(row.phase, "validation_loglik", row.validation_loglik)

    def _log_value(self, phase: str, name: str, value: float) -> None:
        if self._log is not None:
            self._log.add(f"{phase}/{name}", value, self.n_steps)

    def _write(self, phase: str, loop: State) -> None:
        if self._checkpoint is None:
            return
        state: dict[str, Any] = {
            "options": self._options,
            "phase": phase,
            "loop": loop,
            "finished": self._finished,
            "curves": [asdict(row) for row in self.curves],
            "steps": self.n_steps,
            "parts": {name: part.state() for name, part in self._parts.items()},
            "generator": torch.get_rng_state(),
        }
        self._checkpoint.write(state)

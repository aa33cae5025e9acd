"""Training curves for TensorBoard, as they grow."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Protocol

from colloidlab.errors import UsageError

FOLDER = "tensorboard"
"""Where the event files lie in a run folder."""


class TrainingLog(Protocol):
    """What a training tells while it runs."""

    def begin(self, step: int) -> None:
        """The training begins (0), or goes on after an interruption, at this step."""
        ...

    def add(self, name: str, value: float, step: int) -> None:
        """One value; steps are counted over all phases."""
        ...


class TensorBoardLog:
    """Event files in the run folder; show them with `tensorboard --logdir RUN/tensorboard`.

    Parameters
    ----------
    run_path : Path

    Raises
    ------
    UsageError
        TensorBoard is not installed.
    """

    def __init__(self, run_path: Path) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            raise UsageError(
                "TensorBoard is not installed; run \"pip install 'colloidlab[tensorboard]'\" or leave out --tensorboard"
            ) from None
        self._folder = run_path / FOLDER
        self._make = SummaryWriter
        self._writer: SummaryWriter | None = None

    def begin(self, step: int) -> None:
        """Open a file; a new training removes those of the one before."""
        if step == 0:
            shutil.rmtree(self._folder, ignore_errors=True)
        # What was written after the checkpoint comes again.
        self._writer = self._make(str(self._folder), purge_step=step + 1 if step else None)

    def add(self, name: str, value: float, step: int) -> None:
        """Write one value."""
        if self._writer is not None:
            self._writer.add_scalar(name, value, step)

    def close(self) -> None:
        """Flush and close the file."""
        if self._writer is not None:
            self._writer.close()

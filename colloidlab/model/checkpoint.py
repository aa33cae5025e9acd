"""State of an unfinished fit on disk: numbers in one safetensors file, the rest as JSON in its header.

One file, replaced in one call: whatever kills the program, it is the whole state of some step. Nothing is ever
unpickled. A checkpoint of other options, other tracks or another version of the program is not gone on from; the next
one takes its place.
"""

from __future__ import annotations

import json
import shutil
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

import colloidlab
from colloidlab.errors import InputError
from colloidlab.files import atomic_path
from colloidlab.run import UNFINISHED

FOLDER = UNFINISHED["fit"]
"""Where the checkpoint lies in a run folder."""

SECONDS = 10.0
"""Between two checkpoints of one phase."""

State = dict[str, Any]
"""Nested dicts with text keys; leaves are tensors, or what JSON holds."""

_TENSOR = "tensor:"


class FitCheckpoint:
    """The last state of a fit.

    Parameters
    ----------
    run_path : Path
        The run folder; the checkpoint lies hidden in it.
    key : str
        Of everything that the fit depends on.
    seconds : float, optional
        Between two writings [`SECONDS`]; those at the ends of phases come in addition.
    writes : bool
        False for all but one of the processes that share a fit.
    """

    def __init__(
        self, run_path: Path, key: str, seconds: float | None = None, *, writes: bool = True
    ) -> None:
        self._folder = run_path / FOLDER
        self._file = self._folder / "state.safetensors"
        self._key = f"{colloidlab.__version__} {key}"
        self._seconds, self._writes = SECONDS if seconds is None else seconds, writes
        self._since: float | None = None

    def load(self) -> State:
        """The state to go on from; empty where there is none.

        Raises
        ------
        InputError
            The file is damaged.
        """
        if not self._file.exists():
            return {}
        try:
            with safe_open(self._file, framework="pt") as stream:
                header = stream.metadata() or {}
                if header.get("key") != self._key:
                    return {}
                return _join(json.loads(header["state"]), {k: stream.get_tensor(k) for k in stream.keys()})  # noqa: SIM118
        except (OSError, ValueError, KeyError, SafetensorError) as error:
            raise InputError(
                f"{self._file} of an interrupted fit is damaged ({error}); remove {self._folder} and run again"
            ) from None

    @property
    def due(self) -> bool:
        """Is it time to write? The time runs from the first question."""
        if self._since is None:
            self._since = time.monotonic()
        return self._writes and time.monotonic() - self._since >= self._seconds

    def write(self, state: State) -> None:
        """Replace the state on disk."""
        if not self._writes:
            return
        tensors: dict[str, Tensor] = {}
        plain = _part(state, "", tensors)
        with atomic_path(self._file) as temporary:
            save_file(tensors, temporary, {"key": self._key, "state": json.dumps(plain)})
        self._since = time.monotonic()

    def remove(self) -> None:
        """Delete it: the fit is complete, or nothing is to be kept."""
        if self._writes and self._folder.exists():
            self._file.unlink(missing_ok=True)
            shutil.rmtree(self._folder, ignore_errors=True)
            with suppress(OSError):
                self._folder.parent.rmdir()


def _part(value: Any, path: str, tensors: dict[str, Tensor]) -> Any:
    """The value with a name in the place of every tensor, which goes into `tensors`."""
    if isinstance(value, Tensor):
        # A copy: safetensors holds no two names of one memory.
        tensors[path] = value.detach().cpu().contiguous().clone()
        return _TENSOR + path
    if isinstance(value, dict):
        return {key: _part(item, f"{path}/{key}", tensors) for key, item in value.items()}
    return value


def _join(value: Any, tensors: dict[str, Tensor]) -> Any:
    """Undo `_part`."""
    if isinstance(value, dict):
        return {key: _join(item, tensors) for key, item in value.items()}
    if isinstance(value, str) and value.startswith(_TENSOR):
        return tensors[value.removeprefix(_TENSOR)]
    return value

"""Two processes share every batch: loss and weights are those of one process with the whole batch."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from small_fit import QUICK, short_trials, subject, weights

from colloidlab.errors import UsageError
from colloidlab.model.distributed import Machine, machine
from colloidlab.model.entropy import ScoreFilter
from colloidlab.model.entropy_training import EntropyTrainer
from colloidlab.model.filter import Filter
from colloidlab.model.forms import isothermal_laws, thermal_laws
from colloidlab.model.sequence import WindowSource

pytestmark = pytest.mark.usefixtures("short_trials")
__all__ = ["short_trials"]

OPTIONS = replace(QUICK, batch_windows=3, isothermal_steps=3, filter_steps=4, scoring_rounds=0)
"""Three windows for two processes: one has two of them."""

_OTHER = """
from small_fit import subject
from test_distributed import OPTIONS
from colloidlab.model import train_options
from colloidlab.model.distributed import machine

train_options.LEAST_TRIAL_STEPS = 2
with machine() as here:
    assert (here.rank, here.size, here.leads) == (1, 2, False)
    subject().fit(OPTIONS, machine=here)
"""
"""The second process; this one is the first. The environment is what torchrun makes."""


@pytest.mark.slow
def test_two_processes_fit_as_one_does(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    common = {
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": port,
        "WORLD_SIZE": "2",
        "TORCHELASTIC_RUN_ID": "test",
    }
    for name, value in (common | {"RANK": "0", "LOCAL_RANK": "0"}).items():
        monkeypatch.setenv(name, value)
    folders = [str(Path(__file__).parents[1]), str(Path(__file__).parent)]
    other = subprocess.Popen(
        [sys.executable, "-c", f"import sys\nsys.path[:0] = {folders!r}\n" + _OTHER],
        env=os.environ | {"RANK": "1", "LOCAL_RANK": "1"},
    )
    try:
        with machine() as here:
            assert (here.rank, here.size, here.leads) == (0, 2, True)
            found = subject().fit(OPTIONS, machine=here)
        assert other.wait(timeout=60) == 0
    finally:
        other.kill()
    alone = subject().fit(OPTIONS)
    for n, (a, b) in enumerate(zip(found.curves, alone.curves, strict=True)):
        # Round-off grows from step to step: Adam's steps enlarge it where gradients are small.
        near = 1e-12 if n == 0 else 1e-8
        assert (a.phase, a.step) == (b.phase, b.step)
        assert a.train_loglik == pytest.approx(b.train_loglik, abs=near), a
        assert a.validation_loglik == pytest.approx(b.validation_loglik, abs=near), a
    for name, value in weights(alone).items():
        assert torch.allclose(weights(found)[name], value, rtol=1e-7, atol=1e-7), name


def test_more_processes_than_windows_are_refused() -> None:
    s = subject()
    filter_ = Filter(thermal_laws(isothermal_laws(s.guess)), ScoreFilter(), s.guess.temperature)
    windows = WindowSource(s.recording, s.guess.cutoff)
    with pytest.raises(UsageError, match="too few for 9 processes"):
        EntropyTrainer(filter_, windows, s.split, OPTIONS, s.guess.temperature, Machine(size=9))

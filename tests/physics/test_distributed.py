"""Two processes share every batch: loss and weights are those of one process with the whole batch."""

from __future__ import annotations

import math
import os
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from small_fit import QUICK, short_trials, subject, weights

from colloidlab.model.batch_loss import Batch
from colloidlab.model.distributed import ALONE, Machine, machine

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


class Two(Machine):
    """The first of two processes, of which the other has sent what the test says."""

    def gathered(self, values: torch.Tensor) -> list[torch.Tensor]:
        return [values, torch.tensor(OTHERS)]


OTHERS = [[40, 60, 0], [80, 100, 0]]


@pytest.mark.parametrize(
    ("own", "named"),
    [
        (1.0, "40 to 59 and 80 to 99"),
        (math.nan, "0 to 19 and 40 to 59 and 80 to 99"),
    ],
    ids=["the other", "both"],
)
def test_the_frames_of_the_process_that_failed_are_named(own: float, named: str) -> None:
    """Whoever speaks: the sum of all is no number in every process."""
    batch = Batch(torch.tensor(own), math.nan, ((0, 20),))
    assert batch.suspects(Two(size=2)) == named


def test_a_gradient_without_a_culprit_names_the_whole_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(f"{__name__}.OTHERS", [[40, 60, 1]])
    assert Batch(torch.tensor(1.0), 1.0, ((0, 20),)).suspects(Two(size=2)) == "0 to 19 and 40 to 59"
    assert Batch(torch.tensor(1.0), 1.0, ((60, 80), (0, 20))).suspects(ALONE) == "0 to 19 and 60 to 79"


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

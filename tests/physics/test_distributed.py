"""Two processes share every batch: loss and weights are those of one process with the whole batch."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from small_fit import QUICK, short_trials, subject, weights

from colloidlab.errors import UsageError
from colloidlab.model.distributed import Machine
from colloidlab.model.entropy_training import EntropyTrainer
from colloidlab.model.filter import EntropyGain, Filter
from colloidlab.model.forms import isothermal_laws, thermal_laws
from colloidlab.model.sequence import WindowSource

pytestmark = pytest.mark.usefixtures("short_trials")
__all__ = ["short_trials"]

OPTIONS = replace(QUICK, batch_windows=3, isothermal_steps=3, filter_steps=4, scoring_rounds=0)
"""Three windows for two processes: one has two of them."""

_EACH = """
import sys
from pathlib import Path
from safetensors.torch import save_file
from small_fit import subject, weights
from test_distributed import OPTIONS
from colloidlab.model import train_options
from colloidlab.model.distributed import machine

train_options.LEAST_TRIAL_STEPS = 2
with machine() as here:
    fit = subject().fit(OPTIONS, machine=here)
    curves = {f"curve/{n}": fit.isothermal.laws.energy.log_temperature.new_tensor(
        [row.train_loglik, row.validation_loglik]) for n, row in enumerate(fit.curves)}
    save_file({k: v.contiguous() for k, v in weights(fit).items()} | curves,
              Path(sys.argv[1]) / f"{here.rank}-of-{here.size}.safetensors")
"""


@pytest.mark.slow
def test_two_processes_fit_as_one_does(tmp_path: Path) -> None:
    script = tmp_path / "each.py"
    folders = [str(Path(__file__).parents[1]), str(Path(__file__).parent)]
    script.write_text(f"import sys\nsys.path[:0] = {folders!r}\n" + _EACH)
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    done = subprocess.run(
        [*launcher, str(script), str(tmp_path)], capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    first, second = (load_file(tmp_path / f"{rank}-of-2.safetensors") for rank in range(2))
    alone = subject().fit(OPTIONS)
    for n, row in enumerate(alone.curves):
        expected = torch.tensor([row.train_loglik, row.validation_loglik], dtype=torch.float64)
        # Round-off grows from step to step: the normalised steps of the optimiser enlarge it where gradients are small.
        assert torch.allclose(first[f"curve/{n}"], expected, rtol=0, atol=1e-12 if n == 0 else 1e-8), row
    for name, value in weights(alone).items():
        assert torch.allclose(first[name], value, rtol=1e-7, atol=1e-7), name
    for name, value in first.items():
        assert torch.equal(value, second[name]), name


def test_more_processes_than_windows_are_refused() -> None:
    s = subject()
    filter_ = Filter(thermal_laws(isothermal_laws(s.guess)), EntropyGain(), s.guess.temperature)
    windows = WindowSource(s.recording, s.guess.cutoff)
    with pytest.raises(UsageError, match="too few for 9 processes"):
        EntropyTrainer(filter_, windows, s.split, OPTIONS, s.guess.temperature, Machine(size=9))

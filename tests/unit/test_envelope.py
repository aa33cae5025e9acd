"""The envelope by which functions of a pair end at the cutoff."""

from __future__ import annotations

import re
from pathlib import Path

import torch

import colloidlab
from colloidlab.model.envelope import envelope, envelope_derivatives

COMPILED = "rollout/compiled/friction.py"
"""Compiled code calls no Python function."""


def test_it_ends_with_two_derivatives() -> None:
    x = torch.tensor([0.0, 0.2, 0.7, 1.0], dtype=torch.float64, requires_grad=True)
    f, df, d2f = envelope_derivatives(x)
    (slope,) = torch.autograd.grad(envelope(x).sum(), x, create_graph=True)
    (curvature,) = torch.autograd.grad(slope.sum(), x)
    torch.testing.assert_close(df, slope)
    torch.testing.assert_close(d2f, curvature)
    assert float(f[0]) == 1.0 and [float(part[-1]) for part in (f, df, d2f)] == [0.0, 0.0, 0.0]


def test_it_is_written_out_once() -> None:
    package = Path(colloidlab.__file__).parent
    written = {
        path.relative_to(package).as_posix()
        for path in package.rglob("*.py")
        if re.search(r"\*\* ?3 \* \(1 \+ 3 \*", path.read_text(encoding="utf-8"))
    }
    assert written == {"model/envelope.py", COMPILED}

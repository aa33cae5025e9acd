"""The learned functions as curves with units."""

from __future__ import annotations

import numpy as np
import pandas as pd
import torch

from colloidlab.model.laws import Laws
from colloidlab.model.tensors import float64
from colloidlab.units import Calibration

_POINTS = 80


def learned_functions(
    laws: Laws, temperature: float, volumes: np.ndarray, calibration: Calibration
) -> pd.DataFrame:
    """Kernel, pair force, friction, noise, conduction against distance; pressure against density.

    Parameters
    ----------
    laws : Laws
    temperature : float, px^2/frame^2
        Temperature at which they are drawn (the mean of the recording).
    volumes : float array
        Volumes V seen in the recording; the pressure is drawn over their central 98 %.
    calibration : Calibration

    Returns
    -------
    DataFrame
        Long form as `functions.parquet`; the bands are NaN (one fit has no spread).
    """
    r = np.linspace(0.3, 1.0, _POINTS) * laws.cutoff
    x = float64((r / laws.cutoff).tolist())
    T = torch.full_like(x, temperature)
    rows = []

    def add(
        quantity: str, at: np.ndarray, values: torch.Tensor, x_unit: str, y_unit: str, factor: float
    ) -> None:
        for a, b in zip(at, values.detach().numpy() * factor, strict=True):
            rows.append((quantity, float(a), float(b), np.nan, np.nan, x_unit, y_unit))

    with torch.no_grad():
        kernel = laws.kernel(x)
        a = laws.amplitudes(x, T, T)
        typical = float64([float(np.median(volumes))])
        S = laws.energy.entropy(T[:1], typical)
        thermo = laws.energy(S, typical)
        force = -2 * (thermo.P * typical**2) * kernel.dw / laws.cutoff
        theta = (1 - laws.k_B * thermo.inv_c) / temperature
        length = calibration.unit(1)
        distance = r * calibration.factor(1)
        add("kernel", distance, kernel.w, length, "", 1.0)
        add("pair_force", distance, force, length, calibration.unit(1, -2), calibration.factor(1, -2))
        for name, k in (("perpendicular", 0.5 * a.A2), ("parallel", 0.5 * a.A2 + 0.5 * a.B2)):
            add(
                f"pair_friction_{name}",
                distance,
                theta * k,
                length,
                calibration.unit(0, -1),
                calibration.factor(0, -1),
            )
            add(
                f"pair_noise_{name}",
                distance,
                2 * k,
                length,
                calibration.unit(2, -3),
                calibration.factor(2, -3),
            )
        low, high = np.percentile(volumes, [1, 99])
        V = np.linspace(low, high, _POINTS)
        v = float64(V.tolist())
        p = laws.energy(S.expand_as(v), v).P
        add("pressure", 1 / V, p, "density / W(0)", calibration.unit(2, -2), calibration.factor(2, -2))
    return pd.DataFrame(rows, columns=["quantity", "x", "y", "y_low", "y_high", "x_unit", "y_unit"])

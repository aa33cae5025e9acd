"""The smooth map is the kernel average of the particles: exact where the answer is known, empty where nobody is."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.spatial.distance import cdist

from napari_plugin.field import SmoothField

SHAPE = (120, 200)


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    """Particles 10 px apart, two frames; the second one without the right half."""
    rng = np.random.default_rng(0)
    x, y = (v.ravel().astype(float) for v in np.meshgrid(np.arange(5, 200, 10), np.arange(5, 120, 10)))
    rows = [
        pd.DataFrame({"frame": f, "x": x + rng.normal(0, 1, len(x)), "y": y + rng.normal(0, 1, len(y))})
        for f in (0, 1)
    ]
    both = pd.concat(rows, ignore_index=True)
    return both[(both["frame"] == 0) | (both["x"] < 100)].reset_index(drop=True)


def centres(field: SmoothField) -> tuple[np.ndarray, np.ndarray]:
    """Positions of the cells, px."""
    rows, columns = np.indices(field.shape[1:])
    return (columns + 0.5) * field.cell_px[0] - 0.5, (rows + 0.5) * field.cell_px[1] - 0.5


def test_a_constant_stays_a_constant(table: pd.DataFrame) -> None:
    field = SmoothField(table.assign(value=3.5), "value", SHAPE, 2)
    np.testing.assert_allclose(field[0], 3.5, rtol=1e-6)


def test_it_is_the_kernel_average(table: pd.DataFrame) -> None:
    rng = np.random.default_rng(4)
    table = table.assign(value=rng.normal(size=len(table)))
    field = SmoothField(table, "value", SHAPE, 2)
    x, y = centres(field)
    first = table[table["frame"] == 0]
    distance = cdist(np.stack([x.ravel(), y.ravel()], axis=1), first[["x", "y"]])
    # Sharing a particle among four cells adds the variance of a triangle to the kernel's.
    width2 = field.kernel_px**2 + np.mean(np.square(field.cell_px)) / 6
    weight = np.exp(-0.5 * distance**2 / width2)
    exact = (weight @ first["value"].to_numpy() / weight.sum(axis=1)).reshape(x.shape)
    error = field[0] - exact
    assert np.sqrt(np.mean(error**2)) < 0.02 * exact.std()


def test_an_angle_is_averaged_on_the_circle(table: pd.DataFrame) -> None:
    turn = np.pi / 3
    rng = np.random.default_rng(1)
    # Directions around half a turn, where the numbers jump from one end to the other.
    angle = (turn / 2 + rng.normal(0, 0.02, len(table)) + turn / 2) % turn - turn / 2
    assert angle.max() > 0.5 and angle.min() < -0.5
    found = SmoothField(table.assign(value=angle), "value", SHAPE, 2, period=turn)
    assert np.abs(found[0]).min() > 0.5 and np.abs(found[0]).max() <= turn / 2 + 1e-6
    # Far from the jump it is the usual average.
    near = table.assign(value=rng.normal(0, 0.02, len(table)))
    usual = SmoothField(near, "value", SHAPE, 2)
    np.testing.assert_allclose(SmoothField(near, "value", SHAPE, 2, period=turn)[0], usual[0], atol=2e-4)
    assert np.isnan(SmoothField(near, "value", SHAPE, 2, period=turn)[1]).any()


def test_a_slope_keeps_its_direction_and_size(table: pd.DataFrame) -> None:
    field = SmoothField(table.assign(value=2 * table["x"] - table["y"]), "value", SHAPE, 2)
    x, y = centres(field)
    inside = (x > 35) & (x < 165) & (y > 35) & (y < 85)
    assert np.abs(field[0] - (2 * x - y))[inside].max() < 4


def test_it_is_empty_where_nobody_is(table: pd.DataFrame) -> None:
    field = SmoothField(table.assign(value=1.0), "value", SHAPE, 3)
    x, _ = centres(field)
    there = np.isfinite(field[1])
    assert there[x < 95].all() and not there[x > 100 + 2 * field.kernel_px].any()
    assert np.isnan(field[2]).all()


def test_unknown_values_do_not_count(table: pd.DataFrame) -> None:
    value = np.where(np.arange(len(table)) % 3 == 0, np.nan, 2.0)
    field = SmoothField(table.assign(value=value), "value", SHAPE, 2)
    np.testing.assert_allclose(field[0], 2.0, rtol=1e-6)
    assert np.isnan(SmoothField(table.assign(value=np.nan), "value", SHAPE, 2)[0]).all()


def test_frames_are_made_when_they_are_looked_at(
    table: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = []
    exact = SmoothField._smooth
    monkeypatch.setattr(SmoothField, "_smooth", lambda self, k: made.append(k) or exact(self, k))
    field = SmoothField(table.assign(value=1.0), "value", SHAPE, 2)
    assert made == [] and field.shape[0] == len(field) == 2
    field[1, :, :], field[1], field[-1]
    assert made == [1]
    assert np.asarray(field).shape == field.shape and field.dtype == np.asarray(field).dtype == np.float32

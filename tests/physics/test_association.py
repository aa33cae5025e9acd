"""Rank correlation of two quantities of particles, with an interval that knows of memory in time."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from colloidlab.errors import InputError
from colloidlab.indicators.association import held_out_pairs, rank_correlation, summarise_association


def remembering(rng: np.random.Generator, n_frames: int, n: int, memory: float) -> np.ndarray:
    """A stationary process of n particles that forgets in about `memory` frames, plus what all have in common."""
    keep = np.exp(-1 / memory)
    out = np.zeros((n_frames, n + 1))
    for t in range(1, n_frames):
        out[t] = keep * out[t - 1] + rng.normal(size=n + 1) * np.sqrt(1 - keep**2)
    return out[:, :n] + out[:, n:]


def test_independent_quantities_have_an_interval_around_zero() -> None:
    """Common fluctuations that last two frames: 95 % of 200 intervals hold zero, 3 of them are the error of that."""
    rng = np.random.default_rng(0)
    frame = np.repeat(np.arange(120), 20)
    inside = 0
    for _ in range(200):
        x, y = (remembering(rng, 120, 20, 2.0).ravel() for _ in range(2))
        found = rank_correlation(x, y, frame)
        inside += found.low <= 0 <= found.high
    assert 0.88 <= inside / 200 <= 0.99


def test_rank_correlation_is_that_of_scipy_and_blind_to_monotone_maps() -> None:
    from scipy.stats import spearmanr

    rng = np.random.default_rng(1)
    x = rng.normal(size=800)
    y = x + 2 * rng.normal(size=800)
    frame = np.repeat(np.arange(80), 10)
    found = rank_correlation(x, np.exp(y), frame)
    assert found.value == pytest.approx(spearmanr(x, y).statistic)
    assert found.low < found.value < found.high
    assert found.n == 800


@pytest.mark.parametrize(("n", "constant", "named"), [(20, False, "Fewer"), (100, True, "same everywhere")])
def test_what_has_no_correlation_is_refused(n: int, constant: bool, named: str) -> None:
    x = np.ones(n) if constant else np.arange(n, dtype=float)
    with pytest.raises(InputError, match=named):
        rank_correlation(x, np.arange(n, dtype=float), np.arange(n))


def tables() -> tuple[pd.DataFrame, pd.DataFrame]:
    rng = np.random.default_rng(2)
    frame, particle = (x.ravel() for x in np.indices((60, 12)))
    state = pd.DataFrame({"frame": frame, "particle": particle, "boundary": particle < 2})
    state["entropy"] = rng.normal(size=len(state))
    state["temperature_px2"] = np.exp(state["entropy"])
    indicators = state[["frame", "particle"]].assign(
        d2min_px2=np.exp(state["entropy"] + rng.normal(size=len(state)))
    )
    indicators.loc[indicators["particle"] == 3, "d2min_px2"] = np.nan
    return state, indicators


def test_only_interior_particles_of_the_block_count() -> None:
    pairs = held_out_pairs(*tables(), (40, 60))
    assert set(pairs["particle"]) == {2, *range(4, 12)}
    assert (pairs["frame"].min(), pairs["frame"].max()) == (40, 59)


def test_the_summary_has_both_with_intervals_and_nothing_where_there_is_nothing() -> None:
    summary = summarise_association(held_out_pairs(*tables(), (0, 60)))
    for name in ("entropy", "temperature"):
        low, value, high = (summary[f"d2min_{name}_correlation{end}"] for end in ("_low", "", "_high"))
        assert 0.5 < low < value < high < 0.85
    assert summarise_association(held_out_pairs(*tables(), (70, 80))) == {}

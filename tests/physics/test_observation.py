"""Errors that a camera adds to rollouts: those that are new in every frame, each particle's own, once."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from small_gas import TEMPERATURE, isothermal_gas, record, simulate, watch

from colloidlab.model.entropy import ConstantEntropy
from colloidlab.model.filter import Filter
from colloidlab.model.localisation import ErrorScale, LocalisationError
from colloidlab.rollout.observation import new_error, new_error_of

LAWS = isothermal_gas()
SIGMA = np.random.default_rng(1).uniform(0.02, 0.2, 60)


def filtering(error: ErrorScale | LocalisationError | None) -> Filter:
    return Filter(LAWS, ConstantEntropy(0.0), TEMPERATURE, error)


def test_every_particle_has_the_new_part_of_its_own_error() -> None:
    motion = simulate(LAWS, n=60, n_frames=4, seed=2, steps=2)
    tracks = watch(motion, SIGMA)
    recording = record(tracks, motion.box)
    own = SIGMA[tracks.drop_duplicates("particle").set_index("particle").loc[recording.particles, "body"]]
    whole = new_error_of(filtering(None), recording, recording.particles)
    assert np.allclose(whole, own[:, None], rtol=1e-12)
    part = new_error_of(filtering(ErrorScale(0.6)), recording, recording.particles[::-1])
    assert np.allclose(part, 0.6 * own[::-1, None], rtol=1e-12)
    silent = replace(recording, sigma=np.zeros_like(recording.sigma))
    fitted = new_error_of(filtering(LocalisationError(0.3)), silent, recording.particles)
    assert np.allclose(fitted, 0.3, rtol=1e-12)


def test_an_error_that_stays_is_not_counted_again() -> None:
    """Still particles, seen with an error of which a part stays: displacements and scatter are those of the new part."""
    rng = np.random.default_rng(0)
    stated, scale, n = 0.3, 0.7, 200_000
    new = stated * scale
    stays = stated * np.sqrt(1 - scale**2) * rng.normal(size=n)
    seen = stays + new * rng.normal(size=(2, n))
    # A rollout starts where the filter sees the particle, at r + b, and is seen from there.
    sigma = new_error(filtering(ErrorScale(scale)), np.full(n, stated))
    rolled = stays + sigma * rng.normal(size=(2, n))
    assert np.var(rolled) == pytest.approx(np.var(seen), rel=0.01)
    assert np.var(rolled[1] - rolled[0]) == pytest.approx(np.var(seen[1] - seen[0]), rel=0.01)
    assert np.var(seen) == pytest.approx(stated**2, rel=0.01)

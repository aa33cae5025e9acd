"""Automatic locating against exact truth, in units of the least error that any locator could have."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from colloidlab import features
from colloidlab.benchmarks.matching import Matched, match
from colloidlab.benchmarks.rows import Row, at_least, at_most, between
from colloidlab.progress import SILENT, Monitor
from colloidlab.synthetic.crowded import SCENES, film
from colloidlab.synthetic.information import joint_bound_px

MARGIN_PX, REACH_PX = 25.0, 3.0
_CROWDED = ("a", "a bright-field", "a bidisperse")
_FRAMES = {"b": 20}
_CROWDED_FRAMES = 4
_BOUND_SAMPLE = 120
_MEDIAN_PER_SIGMA = float(np.sqrt(2 * np.log(2)))
"""Median of the length of a two-dimensional normal error, in units of its standard deviation an axis."""


@dataclass(frozen=True)
class Accuracy:
    """All frames of one scene together; errors in px."""

    recall: float
    precision: float
    error: np.ndarray
    sigma: np.ndarray
    bound_px: float

    @property
    def length(self) -> np.ndarray:
        return np.hypot(*self.error.T)

    @property
    def median_ratio(self) -> float:
        """Median error over the median that errors at the bound would have."""
        return float(np.median(self.length) / (_MEDIAN_PER_SIGMA * self.bound_px))

    @property
    def rms_ratio(self) -> float:
        """Rms error an axis over the bound."""
        return float(np.sqrt(np.mean(self.error**2)) / self.bound_px)

    @property
    def best_rms_ratio(self) -> float:
        """The same without the worst hundredth."""
        best = self.error[self.length <= np.quantile(self.length, 0.99)]
        return float(np.sqrt(np.mean(best**2)) / self.bound_px)

    @property
    def spread(self) -> float:
        """Standard deviation of (found - true) / sigma."""
        return float(np.std(self.error / self.sigma))


def accuracy_rows(seed: int, monitor: Monitor = SILENT) -> list[Row]:
    """Recall, precision, errors and stated errors on the scenes; parameters and template from the images."""
    rows = []
    names = (*_CROWDED, "b")
    for done, name in enumerate(names):
        monitor.update("accuracy", done, len(names))
        found = measure(name, seed + 1 + done)
        label = f"scene {name}, automatic"
        rows.append(at_least(f"{label}: precision", found.precision, 0.999 if name != "b" else 0.99))
        if name != "b":
            rows += [
                at_least(f"{label}: recall", found.recall, 0.999),
                at_most(f"{label}: median error / bound", found.median_ratio, 1.1),
                at_most(f"{label}: rms of the best 99 % / bound", found.best_rms_ratio, 1.2),
                at_most(f"{label}: rms / bound", found.rms_ratio, 2.0),
            ]
        else:
            rows.append(Row(f"{label}: recall", found.recall))
            rows.append(Row(f"{label}: rms / bound", found.rms_ratio))
        rows.append(Row(f"{label}: Cramer-Rao bound, rms over particles", found.bound_px, "px"))
        rows.append(between(f"{label}: standard deviation of error / sigma", found.spread, 0.9, 1.1))
    monitor.update("accuracy", len(names), len(names))
    centroids = measure("b", seed + 1 + len(names), centroids=True)
    rows.append(
        between("scene b, centroids: standard deviation of error / sigma", centroids.spread, 0.9, 1.1)
    )
    return rows


def measure(name: str, seed: int, *, centroids: bool = False) -> Accuracy:
    """Estimate the parameters from the images of a scene, locate, and compare with the truth."""
    scene = SCENES[name]
    pictures = list(film(scene, _FRAMES.get(name, _CROWDED_FRAMES), seed=seed))
    images = [image for image, _ in pictures]
    parameters = features.estimate(images)
    if centroids:
        parameters = replace(parameters, method="centroid", template=None)
    tables = [table for _, table in features.locate_frames(enumerate(images), parameters)]
    matched = [
        match(found, truth, scene.size_px, margin_px=MARGIN_PX, reach_px=REACH_PX)
        for found, (_, truth) in zip(tables, pictures, strict=True)
    ]
    bound = joint_bound_px(
        scene,
        pictures[0][1],
        margin_px=MARGIN_PX,
        n_sampled=_BOUND_SAMPLE,
        rng=np.random.default_rng(seed),
    )
    return _together(matched, bound)


def _together(matched: list[Matched], bound_px: float) -> Accuracy:
    found = pd.concat([m.found for m in matched], ignore_index=True)
    return Accuracy(
        recall=sum(len(m.error) for m in matched) / sum(m.n_true for m in matched),
        precision=1 - sum(m.n_false for m in matched) / max(sum(m.n_found for m in matched), 1),
        error=np.concatenate([m.error for m in matched]),
        sigma=found[["sigma_x_px", "sigma_y_px"]].to_numpy(),
        bound_px=bound_px,
    )

"""Log-likelihood of a fit against its steps, phase after phase, while it runs and afterwards."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from colloidlab.news import Evaluation, TrainingStep
from colloidlab.report.style import BLUE, GREY, ORANGE

_LEAST_SHARE = 0.12
"""Of the width of the plot, for a phase of however few steps."""

_ROOM_BELOW = 4.0
"""Distance from the median to the top that is shown below the median: how a fit begins would hide how it ends."""


@dataclass
class TrainingCurves:
    """What a fit has told so far.

    Attributes
    ----------
    rows : list of Evaluation
        Looks at the validation block.
    steps : list of TrainingStep
        Single steps, of which only those of this session are known.
    """

    rows: list[Evaluation] = field(default_factory=list)
    steps: list[TrainingStep] = field(default_factory=list)

    @classmethod
    def of_table(cls, table: pd.DataFrame) -> TrainingCurves:
        """Those of `training.parquet`."""
        names = ("phase", "step", "seconds", "train_loglik", "validation_loglik")
        return cls([Evaluation(*values) for values in zip(*(table[n] for n in names), strict=True)])

    def take(self, news: Evaluation | TrainingStep) -> None:
        """Add what is told."""
        if isinstance(news, Evaluation):
            self.rows.append(news)
        else:
            self.steps.append(news)

    @property
    def phases(self) -> dict[str, int]:
        """Steps of every phase so far, in their order."""
        found: dict[str, int] = {}
        for item in self.rows:
            found[item.phase] = max(found.get(item.phase, 0), item.step)
        for step in self.steps:
            found[step.phase] = max(found.get(step.phase, 0), step.step)
        return found


def draw_training(ax: Axes, curves: TrainingCurves) -> None:
    """Training and validation against the steps of every phase, the phases side by side and numbered."""
    places = _places(curves.phases)
    for k, (begin, width) in enumerate(places.values()):
        if k % 2:
            ax.axvspan(begin, begin + width, color=GREY, alpha=0.13, linewidth=0)
        ax.text(begin + width / 2, 1.02, str(k + 1), transform=ax.get_xaxis_transform(), ha="center")
    lengths = curves.phases

    def where(item: Evaluation | TrainingStep) -> float:
        begin, width = places[item.phase]
        return begin + width * item.step / max(lengths[item.phase], 1)

    if curves.steps:
        # Faint, and broken where phases meet: a step sees a few windows only.
        for phase in places:
            part = [s for s in curves.steps if s.phase == phase]
            ax.plot([where(s) for s in part], [s.train_loglik for s in part], color=BLUE, alpha=0.45, lw=0.8)
    for column, colour, name in (
        ("train_loglik", BLUE, "training"),
        ("validation_loglik", ORANGE, "validation"),
    ):
        y = [getattr(row, column) for row in curves.rows]
        ax.plot([where(row) for row in curves.rows], y, "o-", color=colour, markersize=3, label=name)
    _keep_the_end_visible(ax, curves)
    ax.set_xlim(0, sum(width for _, width in places.values()) or 1)
    ax.set_xticks([b + w for b, w in places.values()], [str(n) for n in lengths.values()])
    ax.set_xlabel("steps of each phase")
    ax.set_ylabel("log-likelihood (nats per particle and frame)")
    if figure := ax.get_figure():
        figure.legend(*ax.get_legend_handles_labels(), loc="outside lower right", ncols=2)


def name_phases(curves: TrainingCurves) -> str:
    """The key to the numbers above the plot."""
    return "; ".join(f"{k + 1} {phase}" for k, phase in enumerate(curves.phases))


def _places(phases: dict[str, int]) -> dict[str, tuple[float, float]]:
    """Begin and width of every phase, in steps or what a phase of few steps needs to be seen."""
    total = sum(phases.values())
    widths = [max(n, _LEAST_SHARE * total, 1.0) for n in phases.values()]
    begins = np.cumsum([0.0, *widths])
    return {phase: (float(b), w) for phase, b, w in zip(phases, begins, widths, strict=False)}


def _keep_the_end_visible(ax: Axes, curves: TrainingCurves) -> None:
    values = [s.train_loglik for s in curves.steps]
    values += [v for row in curves.rows for v in (row.train_loglik, row.validation_loglik)]
    known = np.array([v for v in values if np.isfinite(v)])
    if len(known) < 2:
        return
    top, middle = known.max(), float(np.median(known))
    bottom = max(known.min(), middle - _ROOM_BELOW * (top - middle))
    room = 0.08 * (top - bottom) or 0.01
    ax.set_ylim(bottom - room, top + room)

"""Training curves: every value where its phase and step say, and the end of a fit not hidden by its beginning."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from colloidlab.news import Evaluation, TrainingStep
from napari_plugin.training_curves import TrainingCurves, draw_training, name_phases

ROWS = [
    Evaluation("isothermal", 10, 1.0, -30.0, -9.0),
    Evaluation("isothermal", 20, 2.0, 0.40, 0.30),
    Evaluation("isothermal, scoring", 0, 0.0, 0.42, 0.33),
    Evaluation("isothermal, scoring", 1, 0.1, 0.44, 0.35),
    Evaluation("filter", 20, 3.0, 0.47, 0.36),
]


def drawn(curves: TrainingCurves) -> Axes:
    ax = Figure().subplots()
    draw_training(ax, curves)
    return ax


def test_rows_lie_side_by_side_in_the_order_of_their_phases() -> None:
    table = pd.DataFrame([vars(row) for row in ROWS])
    curves = TrainingCurves.of_table(table)
    assert curves.rows == ROWS and curves.phases == {"isothermal": 20, "isothermal, scoring": 1, "filter": 20}
    ax = drawn(curves)
    training, validation = ax.lines
    np.testing.assert_array_equal(training.get_ydata(), table["train_loglik"])
    np.testing.assert_array_equal(validation.get_ydata(), table["validation_loglik"])
    x = np.asarray(training.get_xdata(), dtype=float)
    assert (np.diff(x) >= 0).all() and x[0] == 10 and x[1] == x[2] == 20 and x[-1] == ax.get_xlim()[1]
    assert x[3] - x[2] > 4, "one Newton step is wide enough to be seen"
    assert [t.get_text() for t in ax.get_xticklabels()] == ["20", "1", "20"]
    assert [t.get_text() for t in ax.texts] == ["1", "2", "3"]
    assert name_phases(curves) == "1 isothermal; 2 isothermal, scoring; 3 filter"


def test_how_a_fit_begins_does_not_hide_how_it_ends() -> None:
    low, high = drawn(TrainingCurves(list(ROWS))).get_ylim()
    assert high > 0.47 and -1 < low < 0.30


def test_single_steps_are_drawn_before_the_first_row() -> None:
    curves = TrainingCurves()
    for k in range(1, 4):
        curves.take(TrainingStep("isothermal", k, 0.1 * k))
    steps, training, _ = drawn(curves).lines
    np.testing.assert_allclose(np.column_stack(steps.get_data()), [[k, 0.1 * k] for k in range(1, 4)])
    assert len(np.asarray(training.get_xdata())) == 0
    curves.take(ROWS[0])
    assert curves.phases == {"isothermal": 10}

"""The list of T1 events: sorted by any column, cut to what is of interest, and the way to each of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from qtpy.QtCore import QAbstractTableModel, QModelIndex, QSortFilterProxyModel, Qt, Signal
from qtpy.QtWidgets import (
    QAbstractItemView,
    QCheckBox,
    QComboBox,
    QHBoxLayout,
    QLabel,
    QTableView,
    QVBoxLayout,
    QWidget,
)

from colloidlab.report.words import label
from colloidlab.units import Calibration
from napari_plugin.quantities import describe

ALL, IN_PLOT, IN_FRAME, OF_SELECTED = (
    "all T1 events",
    "T1 events in the plot's frames",
    "T1 events in this frame",
    "T1 events of the selected",
)
FILTERS = (ALL, IN_PLOT, IN_FRAME, OF_SELECTED)

_FOUR = ("particle_a", "particle_b", "particle_c", "particle_d")
_LEAST_WIDTH = 44
"""Of a column, px."""
_SORT_MARK, _ROOM = 20, 9
"""Beside a heading, and beside a number, px."""
_SORT = Qt.ItemDataRole.UserRole


class EventTable(QAbstractTableModel):
    """Events as text, with what each column is sorted by.

    Parameters
    ----------
    events : DataFrame
        As `events.parquet`.
    calibration : Calibration
    """

    def __init__(self, events: pd.DataFrame, calibration: Calibration) -> None:
        super().__init__()
        self.events = events.reset_index(drop=True)
        columns = _columns(self.events, calibration)
        self._headings, self._cells = list(columns), list(columns.values())
        self._tips = [_meaning(name) for name in self._headings]

    def rowCount(self, parent: QModelIndex = QModelIndex()) -> int:  # noqa: B008
        return 0 if parent.isValid() else len(self.events)

    def columnCount(self, parent: QModelIndex = QModelIndex()) -> int:  # noqa: B008
        return 0 if parent.isValid() else len(self._headings)

    def data(self, index: QModelIndex, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        text, order = self._cells[index.column()]
        if role == Qt.ItemDataRole.DisplayRole:
            return text[index.row()]
        if role == _SORT:
            return float(order[index.row()])
        if role == Qt.ItemDataRole.TextAlignmentRole:
            return Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
        return None

    def headerData(
        self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole
    ) -> Any:
        if orientation == Qt.Orientation.Horizontal and role == Qt.ItemDataRole.DisplayRole:
            return self._headings[section]
        if orientation == Qt.Orientation.Horizontal and role == Qt.ItemDataRole.ToolTipRole:
            return self._tips[section]
        return None

    def widest(self) -> list[tuple[str, str]]:
        """Heading and longest text of every column."""
        texts = (text for text, _ in self._cells)
        return [(h, max(t, key=len, default="")) for h, t in zip(self._headings, texts, strict=True)]


class _Chosen(QSortFilterProxyModel):
    """Those rows of the table that are of interest, in the order that was asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.setSortRole(_SORT)
        self._wanted = np.zeros(0, dtype=bool)

    def want(self, wanted: np.ndarray) -> None:
        """Let the rows through for which `wanted` is true."""
        if not np.array_equal(wanted, self._wanted):
            self._wanted = wanted
            self.invalidateFilter()

    def filterAcceptsRow(self, row: int, parent: QModelIndex) -> bool:
        return row >= len(self._wanted) or bool(self._wanted[row])


class EventList(QWidget):
    """The table, with its filter.

    Attributes
    ----------
    event_chosen : Signal(int)
        Row of the table of events to go to.
    filter_changed : Signal
        Another filter was chosen: `narrow` is due.
    """

    event_chosen = Signal(int)
    filter_changed = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.filter = QComboBox()
        self.filter.addItems(FILTERS)
        self.filter.setToolTip("Which events are listed")
        self.plot_four = QCheckBox("plot its four")
        self.plot_four.setToolTip("Select the four particles of the event that is clicked on")
        self.plot_four.setChecked(True)
        self.count, self.note = QLabel(), QLabel()
        self.note.setWordWrap(True)
        self._proxy = _Chosen()
        self._events: pd.DataFrame | None = None
        self.view = _view(self._proxy)
        above = QHBoxLayout()
        for widget in (self.filter, self.count, self.plot_four):
            above.addWidget(widget)
        above.insertStretch(2)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addLayout(above)
        column.addWidget(self.note, 1, Qt.AlignmentFlag.AlignTop)
        column.addWidget(self.view, 10)
        self.filter.activated.connect(lambda _: self.filter_changed.emit())
        self.view.clicked.connect(self._choose)
        self.view.activated.connect(self._choose)

    def show_events(self, events: pd.DataFrame | None, calibration: Calibration, note: str) -> None:
        """List other events; `note` is said where there are none."""
        if events is not self._events or events is None:
            self._events = events
            table = pd.DataFrame({"frame": []}) if events is None else events
            # Kept here, for Qt does not keep it.
            self._model = EventTable(table, calibration)
            self._proxy.setSourceModel(self._model)
            self._proxy.want(np.ones(len(table), dtype=bool))
            self.view.sortByColumn(0, Qt.SortOrder.AscendingOrder)
            # Once, for all events: fitting columns to what a filter lets through would cost at every step of the slider.
            self._fit_columns()
        self.note.setText(note)
        self.note.setVisible(bool(note))
        for widget in (self.view, self.filter, self.count, self.plot_four):
            widget.setVisible(not note)

    def narrow(self, span: tuple[float, float], frame: int, particles: tuple[int, ...]) -> None:
        """List those events that the filter lets through.

        Parameters
        ----------
        span : (float, float)
            First and last frame that the plot shows.
        frame : int
            The current one.
        particles : tuple of int
            Those that are selected.
        """
        events = self._model.events
        wanted = np.ones(len(events), dtype=bool)
        which = self.filter.currentText()
        if which == IN_PLOT:
            wanted = events["frame"].between(*span).to_numpy()
        elif which == IN_FRAME:
            wanted = (events["frame"] == frame).to_numpy()
        elif which == OF_SELECTED and len(events):
            wanted = takes_part(events, particles)
        self._proxy.want(wanted)
        total = len(events)
        self.count.setText(f"{self._proxy.rowCount()} of {total}" if total else "")

    def _fit_columns(self) -> None:
        """As wide as headings and numbers are; Qt looks at the rows in view only, and keeps more room for its mark."""
        letters = self.view.fontMetrics()
        for column, (heading, longest) in enumerate(self._model.widest()):
            width = max(
                letters.horizontalAdvance(heading) + _SORT_MARK, letters.horizontalAdvance(longest) + _ROOM
            )
            self.view.setColumnWidth(column, width)

    def event_at(self, row: int) -> pd.Series:
        """One of the events, by its row."""
        found: pd.Series = self._model.events.iloc[row]
        return found

    def _choose(self, index: QModelIndex) -> None:
        self.event_chosen.emit(self._proxy.mapToSource(index).row())


def takes_part(events: pd.DataFrame, particles: tuple[int, ...]) -> np.ndarray:
    """In which events one of the particles takes part, bool, shape (n_events,)."""
    found: np.ndarray = events[[c for c in _FOUR if c in events]].isin(particles).any(axis=1).to_numpy()
    return found


def _columns(events: pd.DataFrame, calibration: Calibration) -> dict[str, tuple[list[str], np.ndarray]]:
    """Columns by their heading: their text, and the number by which they are sorted."""
    found = {"frame": ([f"{v:.0f}" for v in events["frame"]], events["frame"].to_numpy())}
    for axis in ("x", "y", "z"):
        if axis in events:
            values = events[axis].to_numpy() * calibration.length_per_px
            found[label(axis, calibration.unit(1))] = ([f"{v:.1f}" for v in values], values)
    for name, pair in (("parted", _FOUR[:2]), ("met", _FOUR[2:])):
        if set(pair) <= set(events):
            one, other = (events[c].to_numpy() for c in pair)
            found[name] = ([f"{a:.0f}, {b:.0f}" for a, b in zip(one, other, strict=True)], one)
    if "persistence_frames" in events:
        values = events["persistence_frames"].to_numpy()
        found["kept"] = ([f"{v:.0f}" for v in values], values)
    known = {"frame", "x", "y", "z", *_FOUR, "persistence_frames"}
    for column in events.select_dtypes("number").columns.difference(known, sort=False):
        values = events[column].to_numpy(dtype=np.float64)
        found[describe(column).label] = ([f"{v:.4g}" for v in values], values)
    return found


def _meaning(heading: str) -> str:
    return {
        "frame": "the first frame with the new contact",
        "parted": "neighbours before the event, not after it",
        "met": "neighbours from the event on",
        "kept": "frames that the new contact is known to have lasted",
    }.get(heading, "centre of the four particles" if heading[:1] in "xyz" else heading)


def _view(model: QSortFilterProxyModel) -> QTableView:
    view = QTableView()
    view.setModel(model)
    view.setSortingEnabled(True)
    view.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
    view.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
    view.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
    view.setMinimumHeight(110)
    view.setToolTip("Click on an event to go there")
    if (rows := view.verticalHeader()) is not None:
        rows.hide()
        rows.setDefaultSectionSize(22)
    if (columns := view.horizontalHeader()) is not None:
        # The last column fills what is left; it must not begin as wide as Qt makes one.
        columns.setStretchLastSection(True)
        columns.setMinimumSectionSize(_LEAST_WIDTH)
        columns.setDefaultSectionSize(_LEAST_WIDTH)
        columns.setStyleSheet("QHeaderView::section { padding: 2px 0px; }")
    return view

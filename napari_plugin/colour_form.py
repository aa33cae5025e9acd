"""The choice of what is coloured and how: quantity, colour map, values at its ends."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib import colormaps
from qtpy.QtCore import QSize, Qt, Signal
from qtpy.QtGui import QIcon, QImage, QPixmap
from qtpy.QtWidgets import (
    QCheckBox,
    QComboBox,
    QCompleter,
    QGridLayout,
    QLabel,
    QLineEdit,
    QPushButton,
    QWidget,
)

from colloidlab.report.style import MAPS
from napari_plugin.recolouring import Look

_FURTHER = ("plasma", "inferno", "turbo", "gray", "coolwarm", "twilight")
COLOUR_MAPS = tuple(dict.fromkeys([*MAPS.values(), *_FURTHER]))
"""Those of the report, and some that people are used to."""

_SWATCH = QSize(64, 12)
_DIGITS = 4


class ColourForm(QWidget):
    """Quantity, colours and range.

    Attributes
    ----------
    chosen : Signal(int)
        Another quantity, by its number in the list.
    changed : Signal
        Another colour map or range, both valid; see `look`.
    reset_asked : Signal
        The usual range is wanted.
    """

    chosen = Signal(int)
    changed = Signal()
    reset_asked = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.quantity = SearchBox()
        self.colours = QComboBox()
        self.colours.setIconSize(_SWATCH)
        for name in COLOUR_MAPS:
            self.colours.addItem(_swatch(name), name)
        self.low, self.high = QLineEdit(), QLineEdit()
        self.reset = QPushButton("Reset")
        self.reset.setToolTip("From the 1st to the 99th percentile of all frames; of an angle, one period")
        self.smooth = QCheckBox("smooth map")
        self.smooth.setToolTip("Show the quantity also as a smooth map under the particles")
        self.problem = ""
        self._look: Look | None = None
        self._titles: list[str] = []
        self._arrange()
        self.quantity.activated.connect(self._choose)
        self.quantity.line.returnPressed.connect(self._search)
        self.quantity.line.editingFinished.connect(self._settle)
        self.colours.activated.connect(lambda _: self._edited())
        self.low.editingFinished.connect(self._edited)
        self.high.editingFinished.connect(self._edited)
        self.reset.clicked.connect(self.reset_asked)
        self.smooth.clicked.connect(lambda _: self.changed.emit())

    def _arrange(self) -> None:
        grid = QGridLayout(self)
        grid.setContentsMargins(0, 0, 0, 0)
        rows: dict[str, list[QWidget]] = {
            "colour by": [self.quantity],
            "colours": [self.colours, self.smooth],
            "from, to": [self.low, self.high, self.reset],
        }
        for row, (name, widgets) in enumerate(rows.items()):
            grid.addWidget(QLabel(name), row, 0)
            width = 6 // len(widgets)
            for k, widget in enumerate(widgets):
                grid.addWidget(widget, row, 1 + k * width, 1, width)
        for column in range(1, 7):
            grid.setColumnStretch(column, 1)

    # ---- what is shown ----------------------------------------------------------------------

    def show_choices(self, titles: Sequence[str], groups: Sequence[int], chosen: int) -> None:
        """Offer quantities, a line between those of different groups, with the chosen one."""
        box = self.quantity
        if list(titles) != self._titles:
            self._titles = list(titles)
            box.clear()
            for k, title in enumerate(titles):
                if k and groups[k] != groups[k - 1]:
                    box.insertSeparator(box.count())
                box.addItem(title, k)
        box.setCurrentIndex(box.findData(chosen))
        self._settle()

    def show_look(self, look: Look) -> None:
        """Show a colour map and a range."""
        self._look = look
        if self.colours.findText(look.colours) < 0:
            self.colours.addItem(_swatch(look.colours), look.colours)
        self.colours.setCurrentText(look.colours)
        for line, value in ((self.low, look.low), (self.high, look.high)):
            line.setText(f"{value:.{_DIGITS}g}")
            line.setToolTip(repr(value))
        self._mark("")

    # ---- what is chosen ---------------------------------------------------------------------

    def look(self) -> Look:
        """The last valid colour map and range."""
        assert self._look is not None
        return self._look

    def _choose(self, index: int) -> None:
        self.chosen.emit(self.quantity.itemData(index))

    def _search(self) -> None:
        """The first quantity in which the typed text occurs."""
        box = self.quantity
        found = box.findText(box.currentText(), Qt.MatchFlag.MatchContains)
        if box.currentText() and found >= 0 and box.itemData(found) is not None:
            changed = found != box.currentIndex()
            box.setCurrentIndex(found)
            if changed:
                self.chosen.emit(box.itemData(found))
        self._settle()

    def _settle(self) -> None:
        """Text that is no quantity gives way to the one that is chosen."""
        box = self.quantity
        box.setEditText(box.itemText(box.currentIndex()))
        box.line.setCursorPosition(0)
        box.setToolTip(box.currentText())

    def _edited(self) -> None:
        if self._look is None:
            return
        ends = []
        for line, before in ((self.low, self._look.low), (self.high, self._look.high)):
            # Digits that are not shown are kept where nothing was typed.
            unchanged = line.text() == f"{before:.{_DIGITS}g}"
            ends.append(before if unchanged else _number(line.text()))
        low, high = ends
        if low is None or high is None:
            self._mark("The ends of the colours must be numbers, as 0.5 or 1e-3.")
        elif low >= high:
            self._mark("The colours must begin below the value at which they end.")
        else:
            self._mark("")
            look = Look(self.colours.currentText(), low, high)
            if look != self._look:
                self.show_look(look)
        self.changed.emit()

    def _mark(self, problem: str) -> None:
        self.problem = problem
        style = "QLineEdit { border: 1px solid #ff7b6b; }" if problem else ""
        for line in (self.low, self.high):
            line.setStyleSheet(style)


def _number(text: str) -> float | None:
    try:
        value = float(text.strip().replace(",", ".").replace("−", "-"))
    except ValueError:
        return None
    return value if np.isfinite(value) else None


class SearchBox(QComboBox):
    """A list in which one may type a part of what is looked for."""

    def __init__(self) -> None:
        super().__init__()
        self.line = QLineEdit()
        self.setLineEdit(self.line)
        self.setInsertPolicy(QComboBox.InsertPolicy.NoInsert)
        self.setMaxVisibleItems(25)
        self.setMinimumContentsLength(20)
        self.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        completer = QCompleter(self.model(), self)
        completer.setFilterMode(Qt.MatchFlag.MatchContains)
        completer.setCompletionMode(QCompleter.CompletionMode.PopupCompletion)
        completer.setCaseSensitivity(Qt.CaseSensitivity.CaseInsensitive)
        self.setCompleter(completer)


def _swatch(name: str) -> QIcon:
    ramp = colormaps[name](np.linspace(0, 1, _SWATCH.width()), bytes=True)
    pixels = np.ascontiguousarray(np.broadcast_to(ramp, (_SWATCH.height(), *ramp.shape)))
    size = (_SWATCH.width(), _SWATCH.height())
    image = QImage(pixels.tobytes(), *size, 4 * size[0], QImage.Format.Format_RGBA8888)
    return QIcon(QPixmap.fromImage(image.copy()))

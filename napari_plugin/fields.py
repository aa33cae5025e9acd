"""One editor for each kind of option: what it shows is what the option's type, bounds and text say."""

from __future__ import annotations

import re
from pathlib import Path
from types import NoneType
from typing import Any, Literal, get_args, get_origin

from annotated_types import Ge, Gt, Le, Lt
from pydantic.fields import FieldInfo
from qtpy.QtCore import QEvent, QObject, Qt, Signal
from qtpy.QtWidgets import (
    QCheckBox,
    QComboBox,
    QFileDialog,
    QHBoxLayout,
    QLineEdit,
    QSpinBox,
    QToolButton,
    QWidget,
)

_UNITS = {"px": "px", "frames": "frames", "minutes": "min"}
_LARGEST = 2**31 - 1


def label(name: str) -> str:
    """An option's name as it is read: words, and the unit in brackets."""
    words = name.split("_")
    if words[-1] in _UNITS and len(words) > 1 and "per" not in words:
        return f"{' '.join(words[:-1])} ({_UNITS[words[-1]]})"
    return " ".join("µm" if word == "um" else word for word in words)


def placeholder(info: FieldInfo) -> str:
    """What an empty field means: the description says it in its last brackets."""
    found = re.search(r"\[([^\]]+)\]$", info.description or "")
    return found.group(1) if found else "not given"


class Field(QObject):
    """Editor of one option.

    Attributes
    ----------
    widget : QWidget
        To be put into a form.
    changed : Signal
        The person or `set_value` changed it.
    """

    changed = Signal()

    def __init__(self, widget: QWidget, description: str, parent: QObject) -> None:
        super().__init__(parent)
        self.widget = widget
        self._wrong = False
        widget.setToolTip(f"<qt>{description}</qt>")

    def value(self) -> Any:
        """What pydantic is to validate; None for an empty field."""
        raise NotImplementedError

    def set_value(self, value: Any) -> None:
        """Show a value of the option."""
        raise NotImplementedError

    def mark(self, wrong: bool) -> None:
        """Draw a red border around what is wrong."""
        if wrong == self._wrong:
            return  # Qt works out a style anew even where nothing has changed: milliseconds a field
        self._wrong = wrong
        self.widget.setStyleSheet("QLineEdit { border: 1px solid #ff7b6b; }" if wrong else "")


class Choice(Field):
    """One of a few words."""

    def __init__(self, words: tuple[str, ...], description: str, parent: QObject) -> None:
        self._box = QComboBox()
        super().__init__(self._box, description, parent)
        self._box.addItems(words)
        _leave_scrolling(self._box, self)
        self._box.currentTextChanged.connect(lambda _: self.changed.emit())

    def value(self) -> str:
        return self._box.currentText()

    def set_value(self, value: str) -> None:
        self._box.setCurrentText(value)


class Switch(Field):
    """Yes or no."""

    def __init__(self, description: str, parent: QObject) -> None:
        self._box = QCheckBox()
        super().__init__(self._box, description, parent)
        self._box.toggled.connect(lambda _: self.changed.emit())

    def value(self) -> bool:
        return self._box.isChecked()

    def set_value(self, value: bool) -> None:
        self._box.setChecked(value)


class Whole(Field):
    """A whole number that is always given."""

    def __init__(self, info: FieldInfo, description: str, parent: QObject) -> None:
        self._box = QSpinBox()
        super().__init__(self._box, description, parent)
        low, high = _whole_bounds(info)
        self._box.setRange(low, high)
        _leave_scrolling(self._box, self)
        self._box.valueChanged.connect(lambda _: self.changed.emit())

    def value(self) -> int:
        return self._box.value()

    def set_value(self, value: int) -> None:
        self._box.setValue(value)


class Line(Field):
    """Text that pydantic reads: a number that may be left to estimation, any real number, or words."""

    def __init__(
        self, info: FieldInfo, description: str, parent: QObject, widget: QWidget | None = None
    ) -> None:
        self._line = QLineEdit()
        super().__init__(widget or self._line, description, parent)
        if not info.is_required() and info.default is None:
            self._line.setPlaceholderText(placeholder(info))
        self._line.setClearButtonEnabled(True)
        self._line.textChanged.connect(lambda _: self.changed.emit())

    def value(self) -> str | None:
        return self._line.text().strip() or None

    def set_value(self, value: Any) -> None:
        self._line.setText("" if value is None else str(value))


class Number(Line):
    """A real number, which may have been typed with a decimal comma."""

    def value(self) -> str | None:
        text = super().value()
        # Of several commas some would stand for thousands: let pydantic refuse those.
        return text.replace(",", ".") if text and text.count(",") == 1 and "." not in text else text


class File(Line):
    """The path of a file, with a button that opens a dialogue."""

    def __init__(self, info: FieldInfo, description: str, parent: QObject) -> None:
        both = QWidget()
        super().__init__(info, description, parent, both)
        button = QToolButton()
        button.setText("…")
        button.setToolTip("Choose a file")
        button.clicked.connect(self._choose)
        row = QHBoxLayout(both)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self._line)
        row.addWidget(button)

    def _choose(self) -> None:
        path, _ = QFileDialog.getOpenFileName(self.widget, "Choose a file", self.value() or "")
        if path:
            self.set_value(path)


def make_field(info: FieldInfo, parent: QObject) -> Field:
    """The editor of an option, by its type; its bounds go into the tooltip."""
    kinds = [kind for kind in get_args(info.annotation) or (info.annotation,) if kind is not NoneType]
    description = _explain(info)
    if get_origin(info.annotation) is Literal:
        return Choice(get_args(info.annotation), description, parent)
    if kinds == [bool]:
        return Switch(description, parent)
    if kinds == [Path]:
        return File(info, description, parent)
    if info.annotation is int:
        return Whole(info, description, parent)
    if kinds == [float]:
        return Number(info, description, parent)
    return Line(info, description, parent)


def _explain(info: FieldInfo) -> str:
    """The description, with the bounds."""
    marks = {Ge: ("at least", "ge"), Gt: ("above", "gt"), Le: ("at most", "le"), Lt: ("below", "lt")}
    bounds = [
        f"{words} {getattr(bound, name)}"
        for bound in info.metadata
        for kind, (words, name) in marks.items()
        if isinstance(bound, kind)
    ]
    text = (info.description or "").replace("<", "&lt;")
    return text + (f" ({', '.join(bounds)})" if bounds else "")


def _whole_bounds(info: FieldInfo) -> tuple[int, int]:
    low, high = -_LARGEST, _LARGEST
    for bound in info.metadata:
        if isinstance(bound, Ge):
            low = int(bound.ge)  # type: ignore[call-overload]
        elif isinstance(bound, Gt):
            low = int(bound.gt) + 1  # type: ignore[call-overload]
        elif isinstance(bound, Le):
            high = int(bound.le)  # type: ignore[call-overload]
        elif isinstance(bound, Lt):
            high = int(bound.lt) - 1  # type: ignore[call-overload]
    return low, high


class _NoWheel(QObject):
    """Passes the wheel on: a form that is scrolled must not change what lies under the mouse."""

    def eventFilter(self, watched: Any, event: Any) -> bool:
        if event.type() == QEvent.Type.Wheel and not watched.hasFocus():
            event.ignore()
            return True
        return False


def _leave_scrolling(widget: QWidget, parent: QObject) -> None:
    widget.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
    widget.installEventFilter(_NoWheel(parent))

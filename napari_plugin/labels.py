"""Sentences in a panel."""

from __future__ import annotations

from typing import Any

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QLabel

GOOD, BAD = "color: #7bd88f", "color: #ff7b6b"
"""Styles of a sentence that is good news, or bad."""


class _Words(QLabel):
    """Keeps room for all its lines: a column that is squeezed takes it from what is wrapped, and lays others over it."""

    def setText(self, words: str | None) -> None:
        super().setText(words)
        self._make_room()

    def resizeEvent(self, event: Any) -> None:
        super().resizeEvent(event)
        self._make_room()

    def _make_room(self) -> None:
        height = self.heightForWidth(self.width())
        if height >= 0 and height != self.minimumHeight():
            self.setMinimumHeight(height)


def text_label() -> QLabel:
    """An empty label for sentences, which can be copied; it is hidden as long as it is empty."""
    label = _Words()
    label.setWordWrap(True)
    label.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
    label.hide()
    return label


def say(label: QLabel, words: str, style: str = "") -> None:
    """Put words into a label; it is hidden where there are none."""
    label.setText(words)
    if label.styleSheet() != style:
        label.setStyleSheet(style)  # Qt works out a style anew even where nothing has changed
    label.setVisible(bool(words))

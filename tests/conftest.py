"""Shared by all tests; its place also puts this folder on the import path, for the modules of fixtures."""

import os

import pytest
from gui.windows import WHY_NO_WINDOW

if "PYTEST_XDIST_WORKER" in os.environ:
    # Before torch is imported: as many test processes as cores, so one thread each, and for what they start.
    os.environ.setdefault("OMP_NUM_THREADS", "1")

# Other packages may bring another Qt along.
os.environ.setdefault("QT_API", "pyqt6")
os.environ.setdefault("PYTEST_QT_API", "pyqt6")


def pytest_addoption(parser: pytest.Parser, pluginmanager: pytest.PytestPluginManager) -> None:
    """Leave pytest-qt out where Qt cannot be loaded: it would end the whole session, not only the tests of windows."""
    if WHY_NO_WINDOW:
        pluginmanager.set_blocked("pytest-qt")

"""Shared by all tests; its place also puts this folder on the import path, for the modules of fixtures."""

import os
from importlib.util import find_spec

import pytest
from gui.windows import WHY_NO_WINDOW

if "PYTEST_XDIST_WORKER" in os.environ:
    # Before torch is imported: as many test processes as cores, so one thread each, and for what they start.
    os.environ.setdefault("OMP_NUM_THREADS", "1")

# The tests of the plugin need napari, an extra; without it the others still run.
collect_ignore = [] if find_spec("napari") else ["gui"]

# Other packages may bring another Qt along.
os.environ.setdefault("QT_API", "pyqt6")
os.environ.setdefault("PYTEST_QT_API", "pyqt6")


def pytest_addoption(parser: pytest.Parser, pluginmanager: pytest.PytestPluginManager) -> None:
    """Leave pytest-qt out where Qt cannot be loaded: it would end the whole session, not only the tests of windows."""
    if WHY_NO_WINDOW:
        pluginmanager.set_blocked("pytest-qt")

"""Shared by all tests; its place also puts this folder on the import path, for the modules of fixtures."""

import os

if "PYTEST_XDIST_WORKER" in os.environ:
    # Before torch is imported: as many test processes as cores, so one thread each, and for what they start.
    os.environ.setdefault("OMP_NUM_THREADS", "1")

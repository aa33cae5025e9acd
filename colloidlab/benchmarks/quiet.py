"""Keeping trackpy silent: what it would log or warn of is reported by colloidlab itself."""

from __future__ import annotations

import logging
import signal
import warnings
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def quiet_trackpy() -> Iterator[None]:
    """Silence trackpy's log and the warnings raised inside, and nothing else, for the duration."""
    logger = logging.getLogger("trackpy")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


@contextmanager
def mortal_workers() -> Iterator[None]:
    """Let processes that are forked inside end at SIGTERM without a word, as `multiprocessing` ends them.

    They would inherit the command line's handler, which raises. For the main thread.
    """
    before = signal.signal(signal.SIGTERM, signal.SIG_DFL)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)

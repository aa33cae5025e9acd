"""Keeping trackpy silent: what it would log or warn of is reported by colloidlab itself."""

from __future__ import annotations

import logging
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

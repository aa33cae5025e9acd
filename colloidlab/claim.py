"""One program at a time in a run folder: two that write there would take each other's files for their own."""

from __future__ import annotations

import functools
import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import ParamSpec, TypeVar

import platformdirs
from filelock import FileLock, Timeout

from colloidlab.errors import UsageError
from colloidlab.run import Run

P = ParamSpec("P")
R = TypeVar("R")


@contextmanager
def claim(folder: Path) -> Iterator[None]:
    """Keep other processes of this user out of a run folder; a stage within a stage may claim it again.

    The lock lies beside the user's caches, so that folders hold results alone and file systems without locks do as
    well; it goes with the process, however that ends.

    Raises
    ------
    UsageError
        Another process works there.
    """
    if "TORCHELASTIC_RUN_ID" in os.environ:
        # The processes that torchrun has started work together.
        yield
        return
    name = hashlib.sha256(str(folder.resolve()).encode()).hexdigest()[:32]
    path = Path(platformdirs.user_cache_dir("colloidlab")) / "claims" / f"{name}.lock"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(path, timeout=0, is_singleton=True, thread_local=False)
        lock.acquire()
    except Timeout:
        raise UsageError(
            f"another colloidlab is working in {folder}; wait until it is done, or give another run folder"
        ) from None
    except OSError:
        # No place for locks: nobody is kept out, as without them.
        yield
        return
    try:
        yield
    finally:
        lock.release()


def alone(stage: Callable[P, R]) -> Callable[P, R]:
    """A stage that does not begin while another process works in its run folder."""

    @functools.wraps(stage)
    def claimed(*arguments: P.args, **options: P.kwargs) -> R:
        run = next(given for given in (*arguments, *options.values()) if isinstance(given, Run))
        with claim(run.path):
            return stage(*arguments, **options)

    return claimed

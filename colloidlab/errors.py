"""Errors that a user can act on: one base class, one sentence, one exit code each."""

from __future__ import annotations


class ColloidlabError(Exception):
    """Base of every error that this program raises on purpose.

    The message is one sentence for a person: what happened, where (file, frame,
    option), and how to fix it. `exit_code` is what the command line returns.
    """

    exit_code = 1


class UsageError(ColloidlabError):
    """The command, an option or a configuration file is wrong."""

    exit_code = 2


class BarMissed(ColloidlabError):
    """A benchmark has measured all that it should, and some of it misses its bar."""


class PartialFailure(ColloidlabError):
    """Some items failed; the others are complete and kept."""

    exit_code = 3


class RolloutStopped(PartialFailure):
    """A rollout became non-finite; the frames before are kept."""


class InputError(ColloidlabError):
    """An input cannot be read, or holds nothing that the stage could work on."""

    exit_code = 4


class FitRefused(InputError):
    """The recording does not contain what the fit would have to learn."""


class Cancelled(ColloidlabError):
    """The user stopped the work; what was complete is kept."""

    exit_code = 130

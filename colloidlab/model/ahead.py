"""Running ahead of the numbers: what a computation asks of them, answered at once, or assumed and checked in the end.

On a processor a look at a number costs nothing. A GPU makes the host wait, at every look, until it has done all that it was
told to. There a computation runs ahead: each question is given its usual answer, each loop the rounds that it took before,
and one look at the end says whether all of this was right. Where it was not, the computation is done again with a look at
every question, which is also how it begins. Rounds beyond those that are needed change no bit.

    laws, integrators and neighbours ask      sure(...), most(...), settled(...)
    who takes a step answers                  Ahead()(compute)
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from typing import TypeVar

import torch
from torch import Tensor

Found = TypeVar("Found")

_MORE_ROUNDS = 1
"""Of a loop, beyond those that it needed when somebody looked."""

_CURRENT: ContextVar[Ahead | None] = ContextVar("_CURRENT", default=None)


def pays_on(device: torch.device) -> bool:
    """Does a look at a number make the host wait there?"""
    return device.type != "cpu"


def sure(usual: Tensor) -> bool:
    """Is it so, of a bool tensor without dimensions that is nearly always true?"""
    here = _CURRENT.get()
    return bool(usual) if here is None else here.sure(usual)


def most(name: str, needed: Tensor) -> int:
    """A whole number that is at least `needed`, a tensor without dimensions: how often something has to be done."""
    here = _CURRENT.get()
    return int(needed) if here is None else here.most(name, needed)


def settled(name: str, rounds: int, done: Tensor) -> bool:
    """May a loop end after so many rounds? Further ones must change nothing once `done`, without dimensions, is true."""
    here = _CURRENT.get()
    return bool(done) if here is None else here.settled(name, rounds, done)


def blind() -> bool:
    """Must nobody look at a number now? Then all answers are computed, and chosen from."""
    here = _CURRENT.get()
    return here is not None and here.guesses


class Ahead:
    """One computation that is done again and again, as the step of a simulation is.

    Parameters
    ----------
    usual : dict of str to int, optional
        How often loops go round, where that is known; else the first time is a look.
    """

    def __init__(self, usual: dict[str, int] | None = None) -> None:
        self._usual = None if usual is None else dict(usual)
        self._doubts: list[Tensor] = []
        self._guessing = False

    def __call__(self, compute: Callable[[], Found]) -> Found:
        """The outcome of a computation, which may be called twice, and must not mind."""
        if self._usual is not None:
            found, doubt = self.guess(compute)
            if doubt is None or not bool(doubt):
                return found
        return self.look(compute)

    @property
    def usual(self) -> dict[str, int]:
        """How often each loop had to go round, at the most, when somebody last looked."""
        return dict(self._usual or {})

    @property
    def guesses(self) -> bool:
        """Is nobody looking?"""
        return self._guessing

    def guess(self, compute: Callable[[], Found]) -> tuple[Found, Tensor | None]:
        """The outcome with the usual answers, and was one of them wrong: a bool without dimensions, not looked at."""
        self._guessing = True
        found = self._run(compute)
        return found, torch.stack(self._doubts).any() if self._doubts else None

    def look(self, compute: Callable[[], Found]) -> Found:
        """The outcome with a look at every question, which learns how often loops go round."""
        self._guessing = False
        self._usual = {}
        return self._run(compute)

    def _run(self, compute: Callable[[], Found]) -> Found:
        self._doubts = []
        token = _CURRENT.set(self)
        try:
            return compute()
        finally:
            _CURRENT.reset(token)

    def sure(self, usual: Tensor) -> bool:
        """See the function of this name."""
        if not self._guessing:
            return bool(usual)
        self._doubts.append(~usual)
        return True

    def most(self, name: str, needed: Tensor) -> int:
        """See the function of this name."""
        if self._guessing:
            number = self._last(name)
            self._doubts.append(needed > number)
            return number
        return self._learn(name, int(needed))

    def settled(self, name: str, rounds: int, done: Tensor) -> bool:
        """See the function of this name."""
        if self._guessing:
            if rounds < self._last(name) + _MORE_ROUNDS:
                return False
            self._doubts.append(~done)
            return True
        if bool(done):
            self._learn(name, rounds)
            return True
        return False

    def _last(self, name: str) -> int:
        return (self._usual or {}).get(name, 1)

    def _learn(self, name: str, number: int) -> int:
        usual = {} if self._usual is None else self._usual
        usual[name] = max(number, usual.get(name, 1))
        self._usual = usual
        return number

"""The conserving step on processors, compiled, for laws in tables: some hundred times faster than networks in torch.

`tables` holds the laws, `adjacency` who meets whom, `mechanics` forces, `friction` what friction and noise need of a pair,
`exchange` the dissipative step, `step` puts them together, and
`motion` is what a rollout sees of it. Every loop runs over a range of pairs or of particles and
writes to its own places only, in a fixed order, so that threads share the work and change no bit.
"""

from colloidlab.rollout.compiled.motion import CompiledMotion, can_compile, in_tables
from colloidlab.rollout.compiled.step import CompiledStep

__all__ = ["CompiledMotion", "CompiledStep", "can_compile", "in_tables"]

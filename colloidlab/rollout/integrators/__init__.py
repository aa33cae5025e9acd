"""Time integrators: how a state moves by one step."""

from typing import Literal

Integrator = Literal["conserving", "implicit", "euler_maruyama"]
"""Names of those that a rollout can be asked for: the default, the same for stiff friction, and the published one."""

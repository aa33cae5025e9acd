"""Time integrators, one a file; each is a pure function of the state, the laws and the noise."""

"""Simulating the learned (or an analytic) law: integrators, neighbour lists, boundaries, ensembles, comparison."""

"""A simulated bilingual shop with known ground truth, to develop and demonstrate on."""

from spark_jobs.simulation.simulate import DEFAULT_START, simulate, users_for

__all__ = ["DEFAULT_START", "simulate", "users_for"]

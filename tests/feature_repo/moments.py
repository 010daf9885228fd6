"""Instants for generated input, crowded onto the edges of hops."""

from hypothesis import settings
from hypothesis import strategies as st

from feature_repo.behavior import HOPS_S
from feature_repo.windows import DAY_US, US

# A busy machine is no failure.
unhurried = settings(deadline=None)

AROUND = 1_772_323_200 * US  # 2026-03-01T00:00:00Z
instants = st.integers(-40 * DAY_US, 40 * DAY_US).map(lambda offset: AROUND + offset)
# Instants near hop edges are where mistakes live.
edges = st.builds(
    lambda hop, step, off: AROUND + hop * step * US + off,
    st.sampled_from(HOPS_S),
    st.integers(-60, 60),
    st.integers(-2, 2),
)
times = st.one_of(instants, edges)

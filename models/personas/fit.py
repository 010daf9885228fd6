"""Centres of groups by k-means, kept steady from one fit to the next.

How many groups: the number from MIN_K to MAX_K with the best mean silhouette of those whose smallest group
holds MIN_SHARE of the shoppers; a refit changes the number only for a silhouette better by KEEP_MARGIN. A
refit starts from the former centres and is matched to them (Hungarian method), so that names stay.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import msgspec
import numpy as np
from scipy.optimize import linear_sum_assignment

from feature_repo.profiles import PERSONA_INPUTS
from models.personas.names import slugs_of

if TYPE_CHECKING:
    from sklearn.cluster import KMeans

MIN_K, MAX_K = 4, 8
SHOPPERS_PER_GROUP = 5
MIN_SHOPPERS = MIN_K * SHOPPERS_PER_GROUP
MIN_SHARE = 0.02
KEEP_MARGIN = 0.05
SILHOUETTE_ROWS = 5_000
# A new centre that is further from a former one than this many standard deviations in every input is a new
# group with a new name.
SAME_GROUP_WITHIN = 1.0
STARTS = 4


class Personas(msgspec.Struct, frozen=True):
    """`centres` are over `inputs` less `means`, in units of `scales`: standard deviations over the inputs'
    weights. `sizes`: shoppers of the fit in each.

    `silhouettes`: by number of groups tried, as text since JSON has no other keys. `version` counts fits.
    """

    version: int
    fitted_until: str
    shoppers: int
    inputs: tuple[str, ...]
    means: tuple[float, ...]
    scales: tuple[float, ...]
    slugs: tuple[str, ...]
    centres: tuple[tuple[float, ...], ...]
    sizes: tuple[int, ...]
    silhouettes: dict[str, float]

    @property
    def deviations(self) -> np.ndarray:
        """The centres in standard deviations: float64 [groups, inputs]."""
        return np.array(self.centres) / WEIGHTS


INPUTS = tuple(i.name for i in PERSONA_INPUTS)
WEIGHTS = np.array([i.weight for i in PERSONA_INPUTS])


def fit_personas(
    numbers: np.ndarray, fitted_until: str, former: Personas | None = None, seed: int = 7
) -> Personas | None:
    """`numbers` is float64 [shoppers, PERSONA_INPUTS]; None where there are too few shoppers to group."""
    if numbers.shape[1:] != (len(INPUTS),):
        raise ValueError(f"{numbers.shape} numbers do not fit {len(INPUTS)} persona inputs")
    if not np.isfinite(numbers).all():
        raise ValueError("a persona input is null or infinite: the profiles it is made from are at fault")
    if len(numbers) < MIN_SHOPPERS:
        return None
    if former is not None and former.inputs != INPUTS:
        former = None
    means, deviations = numbers.mean(axis=0), numbers.std(axis=0)
    scales = np.where(deviations > 1e-9, deviations, 1.0) / WEIGHTS
    standard = (numbers - means) / scales
    known = None if former is None else (raw_centres(former) - means) / scales
    fits = {k: _kmeans(standard, k, known, seed) for k in range(MIN_K, most_groups(len(numbers)) + 1)}
    quality = {k: _silhouette(standard, fit.labels_, seed) for k, fit in fits.items()}
    k = chosen(quality, {k: _smallest(fit.labels_) for k, fit in fits.items()}, former)
    centres = fits[k].cluster_centers_
    sizes = np.bincount(fits[k].labels_, minlength=k)
    order = np.argsort(-sizes, kind="stable")
    centres, sizes = centres[order], sizes[order]
    kept = {} if former is None else matched(centres, known, former.slugs)
    return Personas(
        version=1 if former is None else former.version + 1,
        fitted_until=fitted_until,
        shoppers=len(numbers),
        inputs=INPUTS,
        means=tuple(means.tolist()),
        scales=tuple(scales.tolist()),
        slugs=slugs_of(centres / WEIGHTS, kept),
        centres=tuple(tuple(row) for row in centres.tolist()),
        sizes=tuple(sizes.tolist()),
        silhouettes={str(k): round(value, 4) for k, value in quality.items()},
    )


def raw_centres(personas: Personas) -> np.ndarray:
    """In the inputs' own units: float64 [groups, inputs]."""
    return np.array(personas.centres) * np.array(personas.scales) + np.array(personas.means)


def most_groups(shoppers: int) -> int:
    return min(MAX_K, shoppers // SHOPPERS_PER_GROUP)


def chosen(quality: dict[int, float], smallest: dict[int, float], former: Personas | None) -> int:
    """The number of groups by the rule above."""
    sound = [k for k in quality if smallest[k] >= MIN_SHARE] or [min(quality)]
    best = max(sound, key=lambda k: (quality[k], -k))
    before = len(former.slugs) if former else best
    return before if before in sound and quality[best] < quality[before] + KEEP_MARGIN else best


def matched(centres: np.ndarray, former: np.ndarray, slugs: Sequence[str]) -> dict[int, str]:
    """Which centre carries on which former group's name; both in the same standard units."""
    distances = np.linalg.norm(centres[:, None, :] - former[None, :, :], axis=2)
    limit = SAME_GROUP_WITHIN * np.linalg.norm(WEIGHTS)
    pairs = zip(*linear_sum_assignment(distances), strict=True)
    return {int(new): slugs[old] for new, old in pairs if distances[new, old] <= limit}


def _kmeans(standard: np.ndarray, k: int, known: np.ndarray | None, seed: int) -> "KMeans":
    from sklearn.cluster import KMeans

    if known is not None and len(known) == k:
        return KMeans(k, init=known, n_init=1, random_state=seed).fit(standard)
    return KMeans(k, n_init=STARTS, random_state=seed).fit(standard)


def _silhouette(standard: np.ndarray, labels: np.ndarray, seed: int) -> float:
    """-1 to 1, of a sample; -1 where all shoppers are alike and fall into one group."""
    size = min(SILHOUETTE_ROWS, len(standard))
    rows = np.random.default_rng(seed).choice(len(standard), size, replace=False)
    if len(np.unique(labels[rows])) < 2 or len(np.unique(labels[rows])) >= len(rows):
        return -1.0
    from sklearn.metrics import silhouette_score

    return float(silhouette_score(standard[rows], labels[rows]))


def _smallest(labels: np.ndarray) -> float:
    return float(np.unique(labels, return_counts=True)[1].min() / len(labels))

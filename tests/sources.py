"""Sources of symbols with known probabilities, for the tests of coding."""

import math

import numpy as np
from hypothesis import settings
from scipy import stats

from course_lib.coding.tables import TOTAL, make_tables

HALF = TOTAL // 2
unhurried = settings(deadline=None)  # the machine may be busy


def binary_entropy(p):
    return 0.0 if p in (0, 1) else -p * math.log2(p) - (1 - p) * math.log2(1 - p)


def laplace_pmf(scale, reach):
    edges = np.arange(-reach, reach + 2) - 0.5
    return np.diff(stats.laplace.cdf(edges, scale=scale))


def laplace_tables(scales, reach=30):
    pmfs = [laplace_pmf(scale, reach) for scale in scales]
    return make_tables(pmfs, [-reach] * len(scales), [1 - pmf.sum() for pmf in pmfs])

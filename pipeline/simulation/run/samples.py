"""What a set of paths says of a mean, a share, a quantile or a shortfall, with its standard error.

A quantile's error is that of the share of paths below it, carried over to the paths about it; a shortfall's is that of
the mean excess over the value at risk, the Rockafellar–Uryasev objective at its minimum. So each kind of sample has to
know the error of a mean alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np

from pipeline.base.types import BoolArray, FloatArray, IntArray
from pipeline.risk.measures.tail import historical_es, historical_var


@dataclass(frozen=True, slots=True)
class Probability:
    """A share of the paths, and its binomial standard error ``√(p (1 - p) / n)``; of sampled paths that of a mean."""

    value: float
    error: float


@dataclass(frozen=True, slots=True)
class Sample:
    """Independent paths that count the same."""

    def ordered(self, values: FloatArray) -> tuple[FloatArray, Sample]:
        """Ascending values of the paths, and the sample of paths in that order."""
        return np.sort(values), self

    def in_order(self, ranks: IntArray) -> Sample:  # noqa: ARG002 - all count the same
        """The sample of the same paths in another order."""
        return self

    def weights_of(self, paths: int) -> FloatArray:
        """(paths,) what each counts, 1 on average."""
        return np.ones(paths)

    def mean(self, values: FloatArray) -> float:
        """Of a value of each path."""
        return float(values.mean())

    def error(self, values: FloatArray) -> float:
        """Standard error of that mean: ``s / √n``."""
        return float(values.std(ddof=1) / np.sqrt(len(values)))

    def share(self, happens: BoolArray) -> Probability:
        """Of the paths for which something holds, with its binomial error."""
        value = float(happens.mean())
        return Probability(value, float(np.sqrt(value * (1.0 - value) / len(happens))))

    def quantiles(self, values: FloatArray, levels: tuple[float, ...]) -> tuple[float, ...]:
        """Order statistics ⌈qn⌉."""
        return tuple(np.quantile(values, levels, method="inverted_cdf").tolist())

    def quantile_error(self, ordered: FloatArray, level: float) -> float:
        """Standard error of an order statistic of ascending values, from the binomial spread of its rank.

        Between ranks the distance is interpolated: 2,000 paths have ±4.4 ranks at 1 %, and rounding them
        would understate the error by a tenth.
        """
        n = len(ordered)
        spread = np.sqrt(n * level * (1.0 - level))
        low, high = np.interp([n * level - spread, n * level + spread], np.arange(n), ordered)
        return float(high - low) / 2.0

    def value_at_risk(self, ordered: FloatArray, confidence: float) -> float:
        """Of ascending gains, a positive loss."""
        return float(historical_var(ordered, confidence))

    def shortfall(self, ordered: FloatArray, confidence: float) -> float:
        """Expected, of ascending gains, a positive loss."""
        return float(historical_es(ordered, confidence))

    def shortfall_error(self, ordered: FloatArray, confidence: float) -> float:
        """Standard error of the shortfall of ascending gains."""
        excess = np.maximum(-ordered - self.value_at_risk(ordered, confidence), 0.0) / (1.0 - confidence)
        return self.error(excess)

    def in_tail(self, ordered_paths: int, confidence: float) -> FloatArray:
        """(k,) what each of the worst paths counts of one, which add up to 1 - confidence of all; the last in part."""
        whole = ordered_paths * (1.0 - confidence)
        counted = np.ones(int(np.ceil(whole - 1e-9)))
        counted[-1] -= len(counted) - whole
        return counted / ordered_paths


@dataclass(frozen=True, slots=True)
class Replicated(Sample):
    """Paths that count the same, in several independent groups of as many, within which they depend on one another.

    Parameters
    ----------
    groups
        (paths,) the group of each, from 0.
    """

    groups: IntArray

    def ordered(self, values: FloatArray) -> tuple[FloatArray, Sample]:
        """As `Sample.ordered`."""
        ranks = np.argsort(values, kind="stable")
        return values[ranks], self.in_order(ranks)

    def in_order(self, ranks: IntArray) -> Self:
        """As `Sample.in_order`."""
        return type(self)(self.groups[ranks])

    def error(self, values: FloatArray) -> float:
        """Of the mean, by the spread of the groups' means."""
        means = np.bincount(self.groups, values) / np.bincount(self.groups)
        return float(means.std(ddof=1) / np.sqrt(len(means)))

    def share(self, happens: BoolArray) -> Probability:
        """Of the paths for which something holds, with the error of a mean."""
        shown = happens.astype(np.float64)
        return Probability(self.mean(shown), self.error(shown))

    def quantile_error(self, ordered: FloatArray, level: float) -> float:
        """As `Sample.quantile_error`, from the spread of the groups' shares below the quantile."""
        n, value = len(ordered), self.quantiles(ordered, (level,))[0]
        spread = n * self.error((ordered <= value).astype(np.float64))
        low, high = np.interp([n * level - spread, n * level + spread], np.arange(n), ordered)
        return float(high - low) / 2.0


@dataclass(frozen=True, slots=True)
class Weighted(Sample):
    """Independent paths that were drawn from several laws and count by their likelihood under the one that is meant.

    A mean is that of weighted values, less its regression on the weights, whose own mean is known to be 1; which is the
    same as correcting the weights: Owen & Zhou (2000), "Safe and effective importance sampling", Journal of the
    American Statistical Association 95.

    Parameters
    ----------
    weights
        (paths,) the likelihood by that of the mixture, under which each law has its share of the paths.
    laws
        (paths,) that each was drawn from, from 0.
    corrected
        (paths,) weights whose mean is 1.
    """

    weights: FloatArray
    laws: IntArray
    corrected: FloatArray

    @classmethod
    def of(cls, weights: FloatArray, laws: IntArray) -> Weighted:
        """With the correction."""
        apart = weights - _means(weights, laws)[laws]
        excess = weights.mean() - 1.0
        return cls(weights, laws, weights * (1.0 - apart * excess / (weights * apart).mean()))

    def ordered(self, values: FloatArray) -> tuple[FloatArray, Sample]:
        """As `Sample.ordered`."""
        ranks = np.argsort(values, kind="stable")
        return values[ranks], self.in_order(ranks)

    def in_order(self, ranks: IntArray) -> Weighted:
        """As `Sample.in_order`."""
        return Weighted(self.weights[ranks], self.laws[ranks], self.corrected[ranks])

    def weights_of(self, paths: int) -> FloatArray:  # noqa: ARG002 - they are known
        """As `Sample.weights_of`."""
        return self.corrected

    def mean(self, values: FloatArray) -> float:
        """Of a value of each path."""
        return float((self.corrected * values).mean())

    def error(self, values: FloatArray) -> float:
        """Of the mean, by the spread of what the regression leaves, within each law."""
        weighted = self.weights * values
        apart = self.weights - _means(self.weights, self.laws)[self.laws]
        left = weighted - (apart * weighted).mean() / (apart * self.weights).mean() * self.weights
        left -= _means(left, self.laws)[self.laws]
        counts = np.bincount(self.laws)
        squares = np.bincount(self.laws, left * left) * counts / (counts - 1)
        return float(np.sqrt(squares.sum()) / len(values))

    def share(self, happens: BoolArray) -> Probability:
        """Of the probability of something, with the error of a mean."""
        shown = happens.astype(np.float64)
        return Probability(self.mean(shown), self.error(shown))

    def quantiles(self, values: FloatArray, levels: tuple[float, ...]) -> tuple[float, ...]:
        """The least values that have the level, or more, of the weight up to them."""
        ordered, sample = self.ordered(values)
        return tuple(_quantile(ordered, sample, level) for level in levels)

    def quantile_error(self, ordered: FloatArray, level: float) -> float:
        """As `Sample.quantile_error`, from the error of the weighted share below the quantile."""
        value = _quantile(ordered, self, level)
        spread = self.error((ordered <= value).astype(np.float64))
        low, high = np.interp([level - spread, level + spread], _weight_up_to(self), ordered)
        return float(high - low) / 2.0

    def value_at_risk(self, ordered: FloatArray, confidence: float) -> float:
        """Of ascending gains, a positive loss."""
        return -_quantile(ordered, self, 1.0 - confidence)

    def shortfall(self, ordered: FloatArray, confidence: float) -> float:
        """Expected, of ascending gains, a positive loss; the path at the value at risk counts in part."""
        counted = self.in_tail(len(ordered), confidence)
        return float(-(counted @ ordered[: len(counted)]) / (1.0 - confidence))

    def in_tail(self, ordered_paths: int, confidence: float) -> FloatArray:
        """As `Sample.in_tail`."""
        up_to, whole = _weight_up_to(self), 1.0 - confidence
        count = int(np.searchsorted(up_to, whole - 1e-12)) + 1
        counted = self.corrected[:count] / ordered_paths
        counted[-1] -= up_to[count - 1] - whole
        return counted


def _means(values: FloatArray, laws: IntArray) -> FloatArray:
    found: FloatArray = np.bincount(laws, values) / np.bincount(laws)
    return found


def _weight_up_to(sample: Sample) -> FloatArray:
    assert isinstance(sample, Weighted)
    found: FloatArray = np.cumsum(sample.corrected) / len(sample.corrected)
    return found


def _quantile(ordered: FloatArray, sample: Sample, level: float) -> float:
    place = int(np.searchsorted(_weight_up_to(sample), level - 1e-12))
    return float(ordered[min(place, len(ordered) - 1)])

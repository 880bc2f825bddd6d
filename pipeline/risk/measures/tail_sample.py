"""Windows of returns that several methods look at, and what they share."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from pipeline.base.types import FloatArray
from pipeline.risk.measures.standard_tail import student_t_standard_tail, tabulated_tail
from pipeline.risk.measures.student_t_fit import StudentTFit, fit_student_t
from pipeline.risk.measures.tail_spec import TailEstimate, TailSpec


@dataclass(frozen=True)
class TailSample:
    """Windows of returns, whose Student-t laws are fitted once: when a method first asks for them.

    Parameters
    ----------
    returns
        (..., n) simple returns of one period, C-contiguous and finite.
    """

    returns: FloatArray

    @cached_property
    def student_t(self) -> StudentTFit:
        """The likeliest law of each window."""
        return fit_student_t(self.returns)

    def simulated(self, spec: TailSpec, confidence: float) -> TailEstimate:
        """Of draws from the standard law with the fitted degrees of freedom."""
        return student_t_standard_tail(self.student_t.degrees_of_freedom, spec, confidence)


@dataclass(frozen=True)
class RollingSample(TailSample):
    """The same for the thousands of windows (m, n) of a rolling series: compiled, and from a table.

    The figures are those of `TailSample` to 1e-10 of their size; the bits of a window depend on it alone.
    """

    @cached_property
    def student_t(self) -> StudentTFit:
        """The likeliest law of each window."""
        # numba is loaded by who has many windows, not by who serves a request.
        from pipeline.risk.measures.kernels.student_t import fit_many  # noqa: PLC0415

        return fit_many(self.returns)

    def simulated(self, spec: TailSpec, confidence: float) -> TailEstimate:
        """Of draws from the standard law with the fitted degrees of freedom."""
        return tabulated_tail(self.student_t.degrees_of_freedom, spec, confidence)

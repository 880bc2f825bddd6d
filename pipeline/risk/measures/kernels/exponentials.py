"""Logarithm and exponential of ordinary returns as plain sums of powers.

Hand-written because a compiler turns sums of powers into vector instructions, and a call of the C library into a
loop of calls that takes four times as long. Being additions and multiplications in a fixed order they also give the
same bits on every machine. Outside their bounds callers use the C library.
"""

from __future__ import annotations

from numba.extending import register_jitable

LARGEST_RETURN = 0.125
LARGEST_EXPONENT = 1.4


@register_jitable
def log_growth(x: float) -> float:
    """log(1 + x) for abs(x) ≤ `LARGEST_RETURN`, as 2 artanh(s) with s = x / (2 + x).

    The first term left out is 2 s¹³ / 13 < 1e-16 with abs(s) ≤ 1/15 (Abramowitz & Stegun 4.1.27).
    """
    s = x / (2.0 + x)
    q = s * s
    tail = 1.0 / 3.0 + q * (1.0 / 5.0 + q * (1.0 / 7.0 + q * (1.0 / 9.0 + q * (1.0 / 11.0))))
    return 2.0 * s + 2.0 * s * (q * tail)


@register_jitable
def growth_of(y: float) -> float:
    """exp(y) - 1 for abs(y) ≤ `LARGEST_EXPONENT`, from that of y / 8 by doubling: p (p + 2).

    The first term left out of the series is z¹² / 12! < 2e-18 with abs(z) ≤ 0.175.
    """
    z = y * 0.125
    p = 1.0 / 362880.0 + z * (1.0 / 3628800.0 + z * (1.0 / 39916800.0))
    p = 1.0 / 720.0 + z * (1.0 / 5040.0 + z * (1.0 / 40320.0 + z * p))
    p = z + z * z * (0.5 + z * (1.0 / 6.0 + z * (1.0 / 24.0 + z * (1.0 / 120.0 + z * p))))
    p = p * (p + 2.0)
    p = p * (p + 2.0)
    return p * (p + 2.0)

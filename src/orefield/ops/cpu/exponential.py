"""Exponentials that a compiler can work on as vectors: it has no other, and calls one by one.

exp(x) = 2^n exp(r) with whole n and |r| <= ln 2 / 2. With exp(r) - 1 = p(r), a polynomial, both
exp(x) = 2^n + 2^n p and exp(x) - 1 = (2^n - 1) + 2^n p lose nothing where they are small. In fp32
both are right to 3 units in the last place, and exp(x) is 0 below -87; doubles are the library's.
"""

import math

import numba
import numpy as np
from numba import njit
from numba.extending import overload

_F = np.float32
_LEAST, _MOST = _F(-87.0), _F(88.0)
_PER_OCTAVE = _F(1 / math.log(2))
_HIGH, _LOW = _F(0.693359375), _F(math.log(2) - 0.693359375)
"""ln 2 as the sum of a number of few digits, of which n times are exact, and of the rest."""
_TO_WHOLE = _F(1.5 * 2**23)
"""Added and taken away again, it rounds to a whole number."""
_COEFFICIENTS = tuple(_F(1 / math.factorial(k)) for k in range(2, 9))
_C2, _C3, _C4, _C5, _C6, _C7, _C8 = _COEFFICIENTS


@njit(inline="always")
def _parts(x):
    """2^n and 2^n p(r); x in the range in which 2^n is a number, or not a number."""
    n = (x * _PER_OCTAVE + _TO_WHOLE) - _TO_WHOLE
    r = (x - n * _HIGH) - n * _LOW
    p = r + r * r * (_C2 + r * (_C3 + r * (_C4 + r * (_C5 + r * (_C6 + r * (_C7 + r * _C8))))))
    scale = np.int32((np.int32(n) + np.int32(127)) << np.int32(23)).view(np.float32)
    return scale, scale * p


@njit(inline="always")
def _exp(x):
    inside = _LEAST if x < _LEAST else (_MOST if x > _MOST else x)
    scale, rest = _parts(inside)
    return _F(0) if x < _LEAST else (_F(np.inf) if x > _MOST else scale + rest)


@njit(inline="always")
def _decay(x):
    inside = -_LEAST if x > -_LEAST else x
    scale, rest = _parts(-inside)
    return (_F(0) if x > -_LEAST else scale + rest), -((scale - _F(1)) + rest)


def exp(x):
    """e^x."""
    return np.exp(x)


def decay(x):
    """e^-x and 1 - e^-x, for x of at least 0."""
    return np.exp(-x), -np.expm1(-x)


@overload(exp)
def _exp_compiled(x):
    if x == numba.float32:
        return lambda x: _exp(x)
    return lambda x: math.exp(x)


@overload(decay)
def _decay_compiled(x):
    if x == numba.float32:
        return lambda x: _decay(x)
    return lambda x: (math.exp(-x), -math.expm1(-x))

"""Arrays as they enter the reward library: one float64 or bool axis, finite, and as long as their neighbours.

Axis letters of this package: B = samples (runs, or steps of runs), A = executor actions, T = steps of one run,
M = models.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from inframind.errors import ConfigError

Array: TypeAlias = NDArray[np.float64]
Flags: TypeAlias = NDArray[np.bool_]
Ints: TypeAlias = NDArray[np.int64]


def floats(field: str, values: ArrayLike, *, ndim: int = 1) -> Array:
    """``values`` as float64, not copied where they are that already.

    Raises:
        ConfigError: they are not ``ndim``-dimensional, or not all finite.
    """
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != ndim:
        raise ConfigError(field, f"shape {array.shape}", f"give an array of {ndim} axes")
    if not np.isfinite(array).all():
        raise ConfigError(field, f"{np.sum(~np.isfinite(array))} values not finite", "give finite numbers")
    return array


def flags(field: str, values: Sequence[bool] | Flags) -> Flags:
    """``values`` as bool.

    Raises:
        ConfigError: they are of another type, such as 0.0 and 1.0, or not one-dimensional.
    """
    array = np.asarray(values)
    if array.ndim != 1:
        raise ConfigError(field, f"shape {array.shape}", "give an array of 1 axes")
    if array.dtype != np.bool_ and array.size:
        raise ConfigError(field, f"dtype {array.dtype}", "give an array of bool")
    return array.astype(np.bool_, copy=False)


def require_same_shape(arrays: Mapping[str, NDArray[Any]]) -> None:
    """Check that all arrays are shaped as the first.

    Raises:
        ConfigError: one is not; names it and the first.
    """
    (first, reference), *others = arrays.items()
    for field, array in others:
        if array.shape != reference.shape:
            raise ConfigError(
                field, f"shape {array.shape}", f"give it the shape of {first}, {reference.shape}"
            )


def require_between(field: str, value: float, low: float, high: float = math.inf) -> None:
    """Check that ``low <= value <= high`` and that ``value`` is finite; a bound may be infinite.

    Raises:
        ConfigError: it is not.
    """
    if not (math.isfinite(value) and low <= value <= high):
        raise ConfigError(field, value, f"give a finite number {_interval(low, high)}")


def require_all_between(field: str, values: Array, low: float, high: float = math.inf) -> None:
    """Check every one of ``values`` as `require_between` does; the first one outside is named.

    Raises:
        ConfigError: one is outside, or not finite.
    """
    is_outside = ~((values >= low) & (values <= high) & np.isfinite(values))
    if is_outside.any():
        require_between(field, float(values[is_outside][0]), low, high)


def _interval(low: float, high: float) -> str:
    if math.isinf(high):
        return f"of at least {low:g}"
    return f"of at most {high:g}" if math.isinf(low) else f"from {low:g} to {high:g}"

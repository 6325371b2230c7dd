"""Text to a vector of fixed length: the seam for encoders, and the one that needs no download."""

from __future__ import annotations

import itertools
import re
import zlib
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]


class Encoder(Protocol):
    """Text to a vector of fixed length."""

    @property
    def dimension(self) -> int:
        """Length of the vector."""
        ...

    def encode(self, text: str) -> Floats:
        """Unit-length vector (dimension,); the zero vector for text without words."""
        ...


@dataclass(frozen=True)
class HashingEncoder:
    """Words and word pairs hashed into a unit vector: no download, tens of microseconds.

    The hashing trick with signs (Weinberger et al. 2009, "Feature Hashing for Large Scale Multitask
    Learning"); CRC-32 is the hash, its lowest bit the sign.
    """

    dimension: int = 384
    """Length of the vector."""

    def encode(self, text: str) -> Floats:
        """Unit-length vector (dimension,)."""
        words = _WORD.findall(text.lower())
        grams = words + [f"{left} {right}" for left, right in itertools.pairwise(words)]
        hashes = np.fromiter((zlib.crc32(gram.encode()) for gram in grams), dtype=np.int64, count=len(grams))
        signs = np.where(hashes & 1, 1.0, -1.0)
        vector = np.bincount((hashes >> 1) % self.dimension, weights=signs, minlength=self.dimension)
        norm = float(np.linalg.norm(vector))
        return (vector / norm if norm else vector).astype(np.float32)


_WORD = re.compile(r"\w+|[^\w\s]")

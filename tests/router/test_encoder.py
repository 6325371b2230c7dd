"""Texts as unit vectors: bounded, stable, and closer for similar texts."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inframind.router.encoder import HashingEncoder

ENCODER = HashingEncoder(dimension=32)


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=60))
def test_a_text_is_a_unit_vector_and_always_the_same(text: str) -> None:
    vector = ENCODER.encode(text)
    norm = float(np.linalg.norm(vector))
    assert vector.shape == (32,) and vector.dtype == np.float32
    assert norm == pytest.approx(1.0, abs=1e-5) or norm == 0.0
    assert (vector == HashingEncoder(dimension=32).encode(text)).all()


def test_case_does_not_matter_and_no_words_are_the_zero_vector() -> None:
    vector = HashingEncoder(dimension=8).encode("How many primes are below 100?")
    assert (vector == HashingEncoder(dimension=8).encode("how MANY primes are below 100?")).all()
    assert not HashingEncoder().encode("   ").any()
    assert HashingEncoder().encode("x").shape == (384,)


def test_an_embedding_is_the_same_in_every_release() -> None:
    found = HashingEncoder(dimension=8).encode("two primes")
    # "two" falls on 3 with a minus; "primes" and the pair of both fall on 1.
    assert found.tolist() == pytest.approx(np.array([0, 2, 0, -1, 0, 0, 0, 0]) / np.sqrt(5))


def test_similar_questions_are_closer_than_different_ones() -> None:
    encode = HashingEncoder().encode
    base = encode("How many prime numbers are below one hundred?")
    near, far = encode("How many prime numbers are below two hundred?"), encode("Write a poem about the sea")
    assert base @ near > 0.5 > base @ far

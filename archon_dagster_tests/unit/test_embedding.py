"""The sandbox's embedder."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from archon_dagster.sandbox.embedding import DIMENSION, embed, tokens


@given(st.text(max_size=200))
def test_every_text_has_a_vector_of_length_one(text: str) -> None:
    vector = embed(text)
    assert vector.shape == (DIMENSION,)
    assert np.linalg.norm(vector) == pytest.approx(1.0, abs=1e-5)


def test_the_same_text_gives_the_same_bits_everywhere() -> None:
    digest = hashlib.sha256(embed("def parse_header(line): return line.split(':')").astype("<f4").tobytes()).hexdigest()
    assert digest == "2d47e1efc0e646623c12473891f45a8463a474f72a58d8f2d9f052c11788707b"


def test_texts_that_share_tokens_are_nearer() -> None:
    query = embed("read an HTTP header from a socket")
    near, nearer_still = embed("parse the header lines"), embed("parse an HTTP header read from the socket")
    assert query @ nearer_still > query @ near > query @ embed("chocolate cake with bananas") + 0.05


def test_different_texts_are_nearly_orthogonal() -> None:
    assert abs(float(embed("quick brown foxes jump") @ embed("sixteen candles burn brightly"))) < 0.1


def test_both_ways_of_writing_a_compound_name_share_their_parts() -> None:
    assert tokens("parseHTTPHeader2") == ["parse", "http", "header", "2", "parsehttpheader2"]
    assert tokens("parse_http_header") == ["parse", "http", "header"]


def test_what_everything_contains_counts_less() -> None:
    assert embed("def self return socket") @ embed("def self return cake") < 0.5

"""Hashes of token sequences."""

from __future__ import annotations

import numpy as np
import pytest

from padmask.core.sequence_hashes import hash_sequences


@pytest.mark.parametrize("shape", [(0,), (0, 3), (0, 0)])
def test_no_tokens(shape):
    for lengths in ([], [0, 0]):
        hashes = hash_sequences(np.zeros(shape), np.array(lengths, dtype=np.int64))
        assert len(hashes) == len(lengths)
        assert len(set(hashes.tolist())) <= 1

"""Local embeddings are stored in one byte per value."""

import numpy as np
import pyarrow as pa
import pytest

from caan_hf.gallery.schema import from_local, to_local


@pytest.mark.parametrize("shape", [(9, 16), (36, 128), (1, 1)])
def test_stored_local_embeddings_are_unit_vectors_close_to_the_given_ones(shape):
    local = np.random.default_rng(0).standard_normal((5, *shape)).astype(np.float32)
    local /= np.linalg.norm(local, axis=-1, keepdims=True)
    column = to_local(local)
    assert column.type == pa.list_(pa.int8(), shape[0] * shape[1])
    found = from_local(column, shape)
    np.testing.assert_allclose(np.linalg.norm(found, axis=-1), 1, rtol=1e-6)
    assert ((found * local).sum(axis=-1) > 0.9999).all()
    np.testing.assert_array_equal(from_local(to_local(found), shape), found)  # storing again changes nothing


def test_zero_vectors_which_have_no_ink_stay_zero():
    local = np.zeros((2, 4, 3), np.float32)
    local[0, 1] = [0, 1, 0]
    np.testing.assert_array_equal(from_local(to_local(local), (4, 3)), local)

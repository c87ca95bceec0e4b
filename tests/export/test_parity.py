"""The recorded answers of torch."""

import numpy as np
import pytest
import torch
from caan_export.export import preprocessing_of
from caan_export.parity import Reference
from caan_export.source import full_float32

from caan_hf.errors import CaanError

BACKENDS = (torch.backends.cuda.matmul, torch.backends.cudnn)


@pytest.fixture
def tf32():
    """Allows TF32, and restores the settings afterwards."""
    before = [backend.allow_tf32 for backend in BACKENDS]
    for backend in BACKENDS:
        backend.allow_tf32 = True
    yield
    for backend, allowed in zip(BACKENDS, before, strict=True):
        backend.allow_tf32 = allowed


@pytest.mark.usefixtures("tf32")
def test_tf32_is_disabled_inside_the_block_and_restored_after_an_error():
    with full_float32():
        assert [backend.allow_tf32 for backend in BACKENDS] == [False, False]
    with pytest.raises(TypeError), full_float32():
        raise TypeError
    assert [backend.allow_tf32 for backend in BACKENDS] == [True, True]


def test_a_saved_reference_is_read_back(encoder, tmp_path):
    reference = Reference.of_encoder(encoder, preprocessing_of(encoder, "tiny"))
    reference.save(tmp_path)
    found = Reference.load(tmp_path)
    assert {kind: pictures.shape for kind, pictures in found.pictures.items()} == dict.fromkeys(
        ("noise", "sketches", "photos"), (8, 32, 32, 3)
    )
    for key, features in reference.features.items():
        np.testing.assert_array_equal(found.features[key].global_embeds, features.global_embeds)
        np.testing.assert_array_equal(found.features[key].local_embeds, features.local_embeds)
    np.testing.assert_array_equal(found.relation_logits, reference.relation_logits)


def test_a_damaged_reference_is_an_error(tmp_path):
    (tmp_path / "reference.npz").write_bytes(b"PK nonsense")
    with pytest.raises(CaanError, match=r"reference\.npz: cannot be read"):
        Reference.load(tmp_path)

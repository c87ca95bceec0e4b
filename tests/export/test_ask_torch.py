"""The reference that torch gives."""

import pytest
import torch
from caan_export.ask_torch import ask_torch
from caan_export.settings import preprocessing_of

BACKENDS = (torch.backends.cuda.matmul, torch.backends.cudnn)


@pytest.fixture
def tf32():
    """TF32 allowed, and afterwards as it was before."""
    before = [backend.allow_tf32 for backend in BACKENDS]
    for backend in BACKENDS:
        backend.allow_tf32 = True
    yield
    for backend, allowed in zip(BACKENDS, before, strict=True):
        backend.allow_tf32 = allowed


@pytest.mark.usefixtures("tf32")
def test_torch_answers_in_full_float32_and_is_left_as_it_was(model_and_processor, monkeypatch):
    model, processor = model_and_processor
    seen = []
    for name in ("get_sketch_features", "get_photo_features", "get_relation_logits"):
        answer = getattr(model, name)

        def watched(*inputs, answer=answer):
            seen.append([backend.allow_tf32 for backend in BACKENDS])
            return answer(*inputs)

        monkeypatch.setattr(model, name, watched)
    ask_torch(model, preprocessing_of(processor))
    assert seen == [[False, False]] * 5
    assert [backend.allow_tf32 for backend in BACKENDS] == [True, True]


@pytest.mark.usefixtures("tf32")
def test_torch_is_left_as_it_was_when_it_fails(model_and_processor, monkeypatch):
    model, processor = model_and_processor
    monkeypatch.setattr(model, "get_photo_features", None)
    with pytest.raises(TypeError):
        ask_torch(model, preprocessing_of(processor))
    assert [backend.allow_tf32 for backend in BACKENDS] == [True, True]

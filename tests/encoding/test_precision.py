"""Every stored precision, computed in every precision, by checkpoints and untrained towers."""

import copy
import json

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from vision_models import save_clip, save_vit

from caan_hf.encoding.checkpoint import CheckpointEncoder
from caan_hf.encoding.load import load_encoder
from caan_hf.encoding.torch_encoder import precision_on
from caan_hf.errors import CaanError

STORED = ("float32", "bfloat16", "float16")
CPU = torch.device("cpu")


def pictures() -> list[Image.Image]:
    generator = np.random.default_rng(0)
    return [Image.fromarray(generator.integers(0, 255, (40, 60, 3), np.uint8)) for _ in range(3)]


def store_in(precision: str, folder) -> None:
    weights = load_file(folder / "model.safetensors")
    weights = {name: values.to(getattr(torch, precision)) for name, values in weights.items()}
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"dtype": precision}))


@pytest.mark.parametrize("stored", STORED)
@pytest.mark.parametrize("save", [None, save_vit, save_clip], ids=["caan", "vit", "clip"])
def test_every_stored_precision_computes_in_every_precision(save, stored, tiny_caan, tmp_path):
    if save is not None:
        save(tmp_path)
    else:
        for part in tiny_caan:
            part.save_pretrained(tmp_path)
    store_in(stored, tmp_path)
    expected = load_encoder(tmp_path, device="cpu", dtype="float32").encode(pictures(), "photo")
    for asked in ("auto", *STORED):
        encoder = load_encoder(tmp_path, device="cpu", dtype=asked)
        assert encoder.identity.precision == precision_on(CPU, asked)
        found = encoder.encode(pictures(), "photo")
        assert (found.global_embeds * expected.global_embeds).sum(axis=1).min() > 0.999
        if encoder.has_local:
            local = found.local_embeds
            logits = encoder.local_scores(local, local)
            np.testing.assert_allclose(encoder.paired_local_scores(local, np.stack([local] * 3)), logits, atol=1e-4)


@pytest.mark.parametrize("weights", STORED)
@pytest.mark.parametrize("asked", [None, *STORED])
def test_the_weights_of_a_given_model_are_kept(weights, asked, tiny_caan):
    model, processor = tiny_caan
    model = copy.deepcopy(model).to(getattr(torch, weights))
    if asked not in (None, weights) and weights != "float32":
        with pytest.raises(CaanError, match=rf"{asked}.*{weights}.*model\.float"):
            CheckpointEncoder(model, processor, dtype=asked)
        return
    encoder = CheckpointEncoder(model, processor, dtype=asked)
    assert np.isfinite(encoder.encode_photos(pictures())).all()
    assert encoder.identity.precision == (asked or weights)
    assert model.dtype == getattr(torch, weights)


@pytest.mark.parametrize(
    ("capabilities", "with_onednn", "expected"),
    [
        ({"avx512_f": True, "avx512_bf16": True}, True, "bfloat16"),
        ({"amx_bf16": True}, True, "bfloat16"),
        ({"bf16": True}, True, "bfloat16"),  # Arm
        ({"bf16": True}, False, "float32"),
        ({"avx512_f": True, "avx512_bf16": False}, True, "float32"),
    ],
)
def test_auto_is_bfloat16_where_the_processor_multiplies_it(capabilities, with_onednn, expected, monkeypatch):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities)
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: with_onednn)
    assert precision_on(CPU, "auto") == expected
    assert precision_on(CPU, "float16") == "float16"


def test_an_unknown_precision_is_refused(tiny_caan):
    with pytest.raises(CaanError, match=r"float8.*auto, float32, bfloat16, float16"):
        precision_on(CPU, "float8")
    with pytest.raises(CaanError, match=r"float64.*float32, bfloat16, float16"):
        CheckpointEncoder(*tiny_caan, dtype="float64")

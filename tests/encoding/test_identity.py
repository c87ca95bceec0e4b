"""Embeddings may be compared only where everything that changes them agrees."""

import json
from dataclasses import asdict, replace

import pytest
from pydantic import TypeAdapter, ValidationError
from transformers import ViTConfig

from caan_hf import CaanConfig
from caan_hf.encoding.identity import EncoderIdentity, hash_of_json
from caan_hf.encoding.torch_encoder import configuration_hash

IDENTITY = EncoderIdentity("w", "c", "p", "float32", 128, 192, (16, 64))


def read(**change):
    """The identity as records with a field of this type read it from JSON."""
    return TypeAdapter(EncoderIdentity).validate_json(json.dumps(asdict(IDENTITY) | change), strict=True)


def test_json_holds_everything():
    assert read() == IDENTITY


def test_precision_does_not_prevent_a_comparison():
    assert IDENTITY.difference(replace(IDENTITY, precision="int8")) is None


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"weights": "x"}, "weights"),
        ({"configuration": "x"}, "configuration"),
        ({"preprocessing": "x"}, "processor"),
        ({"image_size": 224}, "224"),
        ({"local_shape": None}, "configuration"),
    ],
)
def test_every_other_difference_is_named(change, named):
    assert named in IDENTITY.difference(replace(IDENTITY, **change))


@pytest.mark.parametrize(
    "change", [{"weights": 3}, {"image_size": 0}, {"image_size": "x"}, {"global_dim": True}, {"local_shape": [16, -1]}]
)
def test_damaged_fields_are_refused(change):
    with pytest.raises(ValidationError, match=next(iter(change))):
        read(**change)


def test_hash_ignores_the_order_of_keys():
    assert hash_of_json({"a": 1, "b": [2]}) == hash_of_json({"b": [2], "a": 1})
    assert hash_of_json({"a": 1}) != hash_of_json({"a": 2})


def test_a_new_field_with_its_default_value_does_not_change_the_configuration():
    class NewerViTConfig(ViTConfig):
        new_field: int = 3

    old = configuration_hash(ViTConfig(hidden_size=16))
    assert configuration_hash(NewerViTConfig(hidden_size=16)) == old
    assert configuration_hash(NewerViTConfig(hidden_size=16, new_field=4)) != old
    assert configuration_hash(ViTConfig(hidden_size=16, hidden_act="relu")) != old


def test_a_nested_configuration_changes_the_configuration():
    one, other = (
        CaanConfig(photo_config={"model_type": "vit", "hidden_act": activation}) for activation in ("gelu", "relu")
    )
    assert configuration_hash(one) != configuration_hash(other)

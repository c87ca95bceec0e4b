"""Embeddings may be compared only where everything that changes them agrees."""

import json
from dataclasses import replace

import pytest

from caan_hf.encoding.identity import EncoderIdentity, hash_of_json

IDENTITY = EncoderIdentity("w", "c", "p", "float32", 128, 192, (16, 64))


def test_json_holds_everything():
    assert EncoderIdentity.from_dict(json.loads(json.dumps(IDENTITY.to_dict()))) == IDENTITY


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
def test_damaged_fields_are_type_errors(change):
    with pytest.raises(TypeError):
        EncoderIdentity.from_dict({**IDENTITY.to_dict(), **change})


def test_missing_field_is_a_key_error():
    values = IDENTITY.to_dict()
    del values["precision"]
    with pytest.raises(KeyError, match="precision"):
        EncoderIdentity.from_dict(values)


def test_hash_ignores_the_order_of_keys():
    assert hash_of_json({"a": 1, "b": [2]}) == hash_of_json({"b": [2], "a": 1})
    assert hash_of_json({"a": 1}) != hash_of_json({"a": 2})

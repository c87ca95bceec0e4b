import pytest
from huggingface_hub.errors import StrictDataclassError

from caan_hf import CaanConfig
from caan_hf.configuration_caan import LOSS_WEIGHTS


def comparable(config: CaanConfig) -> dict:
    return {name: value for name, value in config.to_dict().items() if name not in ("_name_or_path", "dtype")}


@pytest.mark.parametrize("text_config", [None, {"model_type": "bert", "hidden_size": 8, "num_attention_heads": 2}])
def test_saved_configuration_reloads_equal(make_config, tmp_path, text_config):
    config = make_config(text_config=text_config, lambda_con=1, text_dropout=0.5)
    config.save_pretrained(tmp_path)
    assert comparable(CaanConfig.from_pretrained(tmp_path)) == comparable(config)


def test_default_hidden_sizes_are_the_same_before_and_after_saving(tmp_path):
    config = CaanConfig()
    config.save_pretrained(tmp_path)
    assert CaanConfig.from_pretrained(tmp_path).relation_hidden_sizes == config.relation_hidden_sizes == [343, 49]
    assert CaanConfig(relation_hidden_sizes=(343, 49)).relation_hidden_sizes == [343, 49]


def test_towers_default_to_vit_without_text():
    config = CaanConfig()
    assert (config.sketch_config.model_type, config.photo_config.model_type) == ("vit", "vit")
    assert config.text_config is None


@pytest.mark.parametrize(
    "field", [*LOSS_WEIGHTS.values(), "triplet_margin", "contrastive_temperature", "text_dropout", "alignment_dropout"]
)
def test_integers_are_accepted_for_float_fields(make_config, field):
    assert getattr(make_config(local_matching="late_interaction", **{field: 1}), field) == 1


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("relation_loss", "l2", "one of mse, bce"),
        ("negatives", "hard", "one of sampled, in_batch, both"),
        ("alignment", "audio", "one of text, visual"),
        ("alignment", "visual", "requires text_config=None"),
        ("triplet_reduction", "mean", "one of all, violating"),
        ("text_negatives", "some", "one of batch, all"),
        ("sample_sentences", True, "requires text_negatives"),
        ("text_init", "photos", "requires text_negatives"),
        ("instance_score", "fused", "one of local, global, both"),
        ("lambda_ins", 1, 'requires local_matching="late_interaction" or instance_score="global"'),
        ("text_dropout", 1.5, "between 0 and 1"),
        ("alignment_dropout", -0.1, "between 0 and 1"),
        ("contrastive_temperature", 0, "above 0"),
        ("sketch_frozen_layers", -1, "must not be negative"),
        ("hub_weight", 1.5, "between 0 and 1"),
        ("whitening", 2, "between 0 and 1"),
        ("whitening", 0.5, "requires center_features"),
        ("expand", 0, "from 1 to"),
        ("hub_bank_size", -1, "from 0 to"),
        ("hub_bank_size", 20_000, "from 0 to"),
        ("projection_dim", 0, "at least 1"),
        ("local_grid", 0, "at least 1"),
        ("num_alignment_layers", 0, "at least 1"),
        ("lambda_tri", "1", "lambda_tri"),
        ("relation_hidden_sizes", ["a"], "relation_hidden_sizes"),
        ("image_size", 32.5, "image_size"),
    ],
)
def test_invalid_value_is_refused_and_its_field_named(make_config, field, value, message):
    with pytest.raises(StrictDataclassError, match=message) as error:
        make_config(**{field: value})
    assert field in str(error.value)


@pytest.mark.parametrize("weight", LOSS_WEIGHTS.values())
def test_loss_weights_must_not_be_negative(weight):
    with pytest.raises(StrictDataclassError, match=weight):
        CaanConfig(**{weight: -0.5})

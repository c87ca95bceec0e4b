import dataclasses

import pytest
from hub_card_rules import problems

from caan_hf.publishing.card import OnnxGraphs, model_card
from caan_hf.publishing.results import Results
from caan_hf.publishing.training_record import training_record

RECIPE = {
    "model": {"vision": "google/vit-base-patch16-224-in21k", "text": "openai/clip-vit-base-patch16"},
    "data": {"path": "data/sketchy-25", "prompts": ["shape", "parts"]},
    "training": {"num_train_epochs": 10},
}
INFO = {
    "protocol": "sketchy-25@1",
    "seen": ["a", "b"],
    "validation": ["c"],
    "unseen": ["d"],
    "counts": {"train": {"sketch": 4000, "photo": 2000}},
    "descriptions": {"origin": "caan-hf", "plain": []},
}


@pytest.fixture
def results() -> Results:
    conventions = {"standard": {"mAP@all": 0.331}, "hits": {"mAP@all": 0.331}}
    reranked = {"standard": {"mAP@all": 0.268}}
    return Results("sketchy-25@1", "test", conventions, reranked, 100, 625, 625, 0.049, interval=(0.3114, 0.352))


def test_everything_that_a_reader_wants_to_know(make_model, results):
    card = model_card(
        "me/mini",
        make_model(text_config=None),
        record=training_record(RECIPE, INFO) | {"validation": {"mAP@all": 0.4, "chance": 0.1}},
        results=results,
        figure="top10.png",
        onnx=OnnxGraphs(("photo_encoder.onnx", "relation.onnx"), "fp16", 23),
    )
    assert problems(card.content, "model") == []
    assert card.data.license == "other"
    assert card.data.base_model == ["google/vit-base-patch16-224-in21k"]
    assert card.data.eval_results[0].metric_value == 0.331
    for wanted in (
        'AutoModel.from_pretrained("me/mini")',
        'AutoModel.from_pretrained("me/mini", trust_remote_code=True)',
        "](top10.png)",
        "ONNX graphs (fp16, opset 23): `photo_encoder.onnx`, `relation.onnx`.",
        "| Seen categories | 2 to train with, 1 more for validation |",
        "| Training images | 4,000 sketches and 2,000 photos |",
        "answers to the prompts shape, parts: those that come with the package caan-hf, written by the language model",
        "protocol `sketchy-25@1`, split `test`, 625 sketches as queries, 625 photos in the gallery; a random",
        "the published lists have 15,229 sketches and 17,101 photos",
        "| `standard` | 0.3310 |",
        "95 % interval of the mAP@all over the sketches, in `standard`: 0.3114 to 0.3520.",
        "After re-ranking the best 100 photos",
        "So re-ranking makes the ranking of this model worse",
        "held out of training; what the checkpoint was selected on): mAP@all 0.4000, chance 0.1000.",
        "**Research use**: it was trained on photos of the Sketchy database",
        "but for the figure above, they are not part",
        "*Never saw* is said of this training",
        "num_train_epochs: 10",
        "then `caan train FILE training.output_dir=FOLDER`",
        "arXiv:2407.00979",
    ):
        assert wanted in card.content, wanted
    assert "trust_remote_code=True" in card.content
    assert not [line for line in card.content.splitlines() if "{{" in line or "{%" in line]


def test_of_what_is_not_known_the_card_says_so(make_model):
    card = model_card("me/mini", make_model(text_config=None))
    assert problems(card.content, "model") == []
    assert "How this model was trained was not recorded." in card.content
    assert "published without an evaluation" in card.content
    assert card.data.license is None
    assert card.data.eval_results is None
    assert "None" not in card.content
    assert "onnx" not in card.content


def test_what_to_know_stands_above_the_figures(make_model, results):
    results = dataclasses.replace(
        results,
        protocol="sketchy-25@1/from-tuberlin-30@1",
        notes=("a subset or variant",),
        removed={"aeroplane": "airplane"},
        num_left_out=7,
        num_duplicates=3,
        deduplicated={"standard": {"mAP@all": 0.321}},
    )
    text = model_card("me/mini", make_model(text_config=None), results=results).content
    assert "(from-tuberlin-30@1)" in text
    place = text.index("**To know before citing:**")
    for sentence in (
        "- a subset or variant\n",
        "- categories left out, since training saw them: aeroplane (there: airplane)\n",
        "- 7 sketches have no right photo",
        "- 3 photos of the gallery are duplicates; without them `standard` is mAP@all 0.3210\n",
    ):
        assert place < text.index(sentence) < text.index("| `standard` |")


def test_what_is_not_zero_shot_stands_in_no_model_index(make_model, results):
    results = dataclasses.replace(results, notes=("not zero-shot: training saw a",))
    card = model_card("me/mini", make_model(text_config=None), results=results)
    assert card.data.eval_results is None
    assert "- not zero-shot: training saw a\n" in card.content
    assert problems(card.content, "model") == []


@pytest.mark.parametrize(
    ("trained_on", "protocol", "licence", "is_restricted"),
    [
        ("Sketchy-25@1", None, "other", True),
        ("SKETCHY-25@1", "sample@1", "apache-2.0", False),  # what the record says comes first
        ("sample@1", None, "apache-2.0", False),
        ("sample-of-mine", None, None, False),
        (None, None, None, False),
    ],
)
def test_what_it_was_trained_on_decides_the_licence(make_model, results, trained_on, protocol, licence, is_restricted):
    results = dataclasses.replace(results, protocol="sample@1")
    record = {"recipe": {}, "data": {"protocol": protocol}} if protocol else None
    model = make_model(text_config=None, training_protocol=trained_on)
    card = model_card("me/mini", model, results=results, record=record)
    assert card.data.license == licence
    assert ("Research use" in card.content) == is_restricted


def test_a_training_checkpoint_and_a_run_without_text(make_model):
    assert "whole training checkpoint" in model_card("me/mini", make_model()).content
    record = training_record({**RECIPE, "model": {"vision": {"model_type": "vit"}, "text": None}}, INFO)
    card = model_card("me/mini", make_model(text_config=None), record=record, licence="mit")
    assert "No text took part in training." in card.content
    assert "| Vision encoder | `vit`, from nothing |" in card.content
    assert "*Never saw*" not in card.content
    assert (card.data.license, card.data.base_model) == ("mit", None)

import re

import pytest
from hub_card_rules import problems
from prepared_info import benchmark_info
from tiny import VISION

from caan_hf.benchmarks.prepared import Origin
from caan_hf.evaluation.record import EvaluationRecord
from caan_hf.publishing.card import OnnxGraphs, model_card
from caan_hf.publishing.provenance import default_license, restriction
from caan_hf.publishing.training_record import TrainingRecord, training_record

RECIPE = {
    "model": {"vision": "google/vit-base-patch16-224-in21k", "text": "openai/clip-vit-base-patch16"},
    "data": {"path": "data/sketchy-25", "prompts": ["shape", "parts"]},
    "training": {"num_train_epochs": 10},
}


RESULTS = {
    "protocol": "sketchy-25@1",
    "split": "test",
    "conventions": {"standard": {"mAP@all": 0.331}, "hits": {"mAP@all": 0.331}},
    "confidence": {"standard": {"mAP@all": (0.3114, 0.352)}},
    "checkpoint": "me/mini",
    "data": "sketchy-25",
    "command": "caan evaluate me/mini --data sketchy-25",
    "gallery": "0",
    "seconds": 1.0,
    "num_left_out": 0,
    "reranked": {"k": 100, "conventions": {"standard": {"mAP@all": 0.268}}},
    "num_queries": 625,
    "num_gallery": 625,
    "chance": {"mAP@all": 0.049},
}


def results(**changes) -> EvaluationRecord:
    return EvaluationRecord.model_validate(RESULTS | changes)


def test_the_card_describes_model_training_evaluation_and_onnx_graphs(make_model):
    record = training_record(RECIPE, benchmark_info()).model_copy(
        update={"validation": {"mAP@all": 0.4, "chance": 0.1}, "epochs": 0.0384, "steps": 12}
    )
    card = model_card(
        "me/mini",
        make_model(text_config=None),
        record=record,
        results=results(
            expanded={"k": 5, "conventions": {"standard": {"mAP@all": 0.4}}},
            adjusted={"k": 5, "conventions": {"standard": {"mAP@all": 0.37}}},
            hub_weight=0.5,
            chance={"mAP@all": 0.049, "precision": 0.04},
            reranked=RESULTS["reranked"] | {"first": {"count": 10, "right": 3.42, "found": 0.846}},
        ),
        figure="top10.png",
        onnx=OnnxGraphs(("photo_encoder.onnx", "relation.onnx"), "fp16", 23),
    )
    assert problems(card.content, "model") == []
    assert card.data.license == "other"
    assert card.data.base_model == ["google/vit-base-patch16-224-in21k"]
    assert card.data.eval_results[0].metric_value == 0.331
    for wanted in (
        'AutoModel.from_pretrained("me/mini", trust_remote_code=True)',
        "](top10.png)",
        "first 100 photos re-ranked by local score (smooth@5, hubs 0.5, rerank@100).",
        "Of the first 10 photos of a sketch, 3.4 are of its category on average; in random order, 0.4 would be.",
        "for 85 % of the sketches",
        "(fp16, opset 23): `photo_encoder.onnx`, `relation.onnx`.",
        "| Seen categories | 2 for training, 1 more for validation |",
        "| Training images | 4,000 sketches and 2,000 photos |",
        "prompts shape, parts. Their origin: texts shipped with the package caan-hf",
        "| Epochs | 0.04 (12 steps) |",
        "protocol `sketchy-25@1`, split `test`, 625 sketches as queries, 625 photos in the gallery",
        "the published lists have 15,229 sketches and 17,101 photos",
        "| `standard` | 0.3310 |",
        "in `standard`: 0.3114 to 0.3520.",
        "With `smooth@5, hubs 0.5`",
        "| `standard` | 0.3700 |",
        "After re-ranking the best 100 photos of each sketch by the local score:",
        "| `standard` | 0.2680 |",
        "Re-ranking makes the ranking of this model worse",
        "With query expansion",
        "| `standard` | 0.4000 |",
        "mAP@all 0.4000, chance 0.1000.",
        "**Research use**: it was trained on photos of the Sketchy database",
        "*Zero-shot* refers to this training only",
        "num_train_epochs: 10",
    ):
        assert wanted in card.content, wanted
    assert not [line for line in card.content.splitlines() if "{{" in line or "{%" in line]


@pytest.mark.parametrize(
    ("ran", "training", "row"),
    [
        ({"epochs": 6.0, "steps": 1536}, {"num_train_epochs": 6}, "| Epochs | 6 (1,536 steps) |"),
        ({"epochs": 1.5, "steps": 6}, {}, "| Epochs | 1.5 (6 steps) |"),
        ({}, {"num_train_epochs": 6}, "| Epochs | 6 |"),
        ({}, {"num_train_epochs": 6, "max_steps": 12}, "| Steps | 12 |"),
        ({}, {"num_train_epochs": 6, "max_steps": -1}, "| Epochs | 6 |"),
    ],
)
def test_the_card_counts_what_ran_or_else_what_the_recipe_says(make_model, ran, training, row):
    record = training_record(RECIPE | {"training": training}, benchmark_info()).model_copy(update=ran)
    text = model_card("me/mini", make_model(text_config=None), record=record).content
    assert [line for line in text.splitlines() if line.startswith(("| Epochs", "| Steps"))] == [row]


def test_the_card_says_how_the_model_compares_regions(make_model):
    text = " ".join(model_card("me/mini", make_model(text_config=None)).content.split())
    for wanted in (
        "| Local features | 16 tokens of 8 numbers |",
        "| Local matching | relation network, 4 x 4 regions |",
        "| Re-ranking | off by default",
        "compare regions: logits of a relation network",
        "only on request (`--rerank`)",
    ):
        assert wanted in text
    assert "fused" not in text
    late = {"local_matching": "late_interaction", "local_dim": None, "local_weight": 0.3}
    found = results(local_weight=0.3)
    text = " ".join(model_card("me/mini", make_model(text_config=None, **late), results=found).content.split())
    for wanted in (
        "re-ranked by a score that also compares regions",
        f"| Local features | 16 tokens of {VISION['hidden_size']} numbers |",
        "| Local matching | late interaction, 4 x 4 regions |",
        "| Re-ranking | the best 100 photos, by 0.7 cosine + 0.3 local score |",
        "the mean, over the regions of the sketch with ink, of the best cosine to a region of the photo.",
        "The fused score of a photo is (1 - w) cosine + w local score. Its weight w = 0.3 was chosen on validation",
        "After re-ranking the best 100 photos of each sketch by the fused score (w = 0.3):",
    ):
        assert wanted in text
    assert "relation network" not in text


def test_the_card_says_what_was_not_recorded(make_model):
    card = model_card("me/mini", make_model(text_config=None))
    assert problems(card.content, "model") == []
    assert "How this model was trained was not recorded." in card.content
    assert "published without an evaluation" in card.content
    assert card.data.license is None
    assert card.data.eval_results is None
    assert "None" not in card.content
    assert "onnx" not in card.content


def test_caveats_come_before_the_figures(make_model):
    found = results(
        protocol="sketchy-25@1/from-tuberlin-30@1",
        notes=["a subset or\nvariant"],
        removed_categories={"aeroplane": "airplane"},
        num_left_out=7,
        deduplicated={"num_duplicates": 3, "num_gallery": 622, "conventions": {"standard": {"mAP@all": 0.321}}},
    )
    text = model_card("me/mini", make_model(text_config=None), results=found).content
    assert "(from-tuberlin-30@1)" in text
    place = text.index("**Caveats:**")
    for sentence in (
        "- a subset or variant\n",
        "- categories left out because training saw them: aeroplane (there: airplane)\n",
        "- 7 sketches have no relevant photo",
        "- 3 photos of the gallery are duplicates; without them, `standard` is mAP@all 0.3210\n",
    ):
        assert place < text.index(sentence) < text.index("| `standard` |")


def test_an_evaluation_that_is_not_zero_shot_has_no_model_index(make_model):
    found = results(notes=["not zero-shot: training saw a"])
    card = model_card("me/mini", make_model(text_config=None), results=found)
    assert card.data.eval_results is None
    assert "- not zero-shot: training saw a\n" in card.content
    assert problems(card.content, "model") == []


@pytest.mark.parametrize(
    ("trained_on", "protocol", "license", "is_restricted"),
    [
        ("Sketchy-25@1", None, "other", True),
        ("sketchy-25@1", "sample@1", "apache-2.0", False),  # the record takes precedence
        (
            "sample@1+sketchy-25@1",
            "sample@1+sketchy-25@1",
            "other",
            True,
        ),  # a model of Sketchy that was trained further
        ("sample@1", None, "apache-2.0", False),
        ("sample-of-mine", None, None, False),
        (None, None, None, False),
    ],
)
def test_the_training_data_decides_the_license(make_model, trained_on, protocol, license, is_restricted):
    record = TrainingRecord.model_validate({"recipe": {}, "data": {"protocol": protocol}}) if protocol else None
    model = make_model(text_config=None, training_protocol=trained_on)
    card = model_card("me/mini", model, results=results(protocol="sample@1"), record=record)
    assert card.data.license == license
    assert ("Research use" in card.content) == is_restricted


def test_the_card_says_where_the_images_come_from(make_model):
    origins = [
        Origin(name="sketchy-25", modality="photo", categories=125, images=3125, training=2500),
        Origin(name="pool/strokes", modality="sketch", categories=286, images=14710, training=14000, duplicates=3),
    ]
    mixed = {"added": ["pool"], "origins": origins, "only_sketches": ["e"], "only_photos": ["f", "g"]}
    record = training_record(RECIPE, benchmark_info().model_copy(update=mixed))
    card = model_card("me/mini", make_model(text_config=None), record=record)
    assert problems(card.content, "model") == []
    assert card.data.license == "other"
    for wanted in (
        "| Benchmark | `sketchy-25@1+pool` |",
        "| Seen categories | 2 for training (1 with only sketches, 2 with only photos), 1 more for validation |",
        "| data set | modality | categories | images | for training | duplicates left out |\n| --- | --- | ---: |",
        "| pool/strokes | sketch | 286 | 14,710 | 14,000 | 3 |\n",
    ):
        assert wanted in card.content, wanted
    assert "data set" not in model_card("me/mini", make_model(text_config=None)).content


@pytest.mark.parametrize(
    ("protocol", "named"),
    [
        ("sketchy-25@1+pool", ["Sketchy"]),
        ("folder@1+tuberlin-30", ["TU-Berlin"]),
        ("sketchy-25@1+quickdraw-30+sketchy-21", ["Sketchy", "QuickDraw"]),
        ("folder@1+pool", []),
    ],
)
def test_photos_of_added_benchmarks_are_restricted(protocol, named):
    assert re.findall("Sketchy|TU-Berlin|QuickDraw", restriction(protocol) or "") == named
    assert default_license(protocol) == ({"license": "other", "license_name": "research-only"} if named else {})


def test_the_card_names_a_text_tower_and_training_without_text(make_model):
    assert "whole training checkpoint" in model_card("me/mini", make_model()).content
    record = training_record({**RECIPE, "model": {"vision": {"model_type": "vit"}, "text": None}}, benchmark_info())
    card = model_card("me/mini", make_model(text_config=None), record=record, license="mit")
    assert "No text was used for training." in card.content
    assert "| Vision encoder | `vit`, randomly initialised |" in card.content
    assert "*Zero-shot*" not in card.content
    assert (card.data.license, card.data.base_model) == ("mit", None)

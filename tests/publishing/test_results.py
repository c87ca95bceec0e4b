import json

import pytest
from hub_card_rules import problems
from huggingface_hub import ModelCard, ModelCardData

from caan_hf import CaanError
from caan_hf.encoding.checkpoint import CheckpointEncoder
from caan_hf.evaluation import EvaluationOptions, ZeroShotEvaluator
from caan_hf.evaluation.record import evaluation_record
from caan_hf.publishing.results import eval_results, read_results, results_table


@pytest.fixture
def document(tiny_caan, split):
    """What the evaluator itself writes, so that the two cannot drift apart, with the scores of a trained model."""
    options = EvaluationOptions(rerank=6, no_cache=True, progress=False)
    evaluator = ZeroShotEvaluator(split, options, protocol="sketchy-25@1", split="test")
    result = evaluator(CheckpointEncoder(*tiny_caan, name="runs/mini/model"))
    document = evaluation_record(result, evaluator, "data/sketchy-25").model_dump(mode="json")
    assert set(document["reranked"]["conventions"]) == set(document["conventions"]) == {"standard"}
    document["conventions"] = {
        "standard": {"mAP@all": 0.331, "P@100": 0.162},
        "hits": {"mAP@all": 0.331, "P@100": 0.162},
    }
    document["reranked"] |= {"k": 100, "conventions": {"standard": {"mAP@all": 0.268, "P@100": 0.15}}}
    return document | {"num_queries": 625, "num_gallery": 625, "chance": {"mAP@all": 0.049}}


@pytest.fixture
def write(tmp_path):
    def write(document) -> object:
        file = tmp_path / "metrics.json"
        file.write_text(document if isinstance(document, str) else json.dumps(document), encoding="utf-8")
        return read_results(file)

    return write


def test_reads_what_the_evaluator_writes(document, write):
    results = write(document)
    assert (results.protocol, results.benchmark, results.split) == ("sketchy-25@1", "sketchy-25", "test")
    assert (results.num_queries, results.num_gallery, results.chance) == (625, 625, 0.049)
    assert results.conventions["standard"]["mAP@all"] == 0.331
    assert (results.rerank_k, results.reranked["standard"]["mAP@all"]) == (100, 0.268)
    low, high = results.interval
    assert 0 < low < high < 1


def test_the_default_convention_and_map_come_first(document, write):
    document["conventions"] = {"hits": {"P@100": 0.1, "mAP@all": 0.2}, "standard": {"P@100": 0.1, "mAP@all": 0.3}}
    results = write(json.dumps(document, sort_keys=True))
    assert [*results.conventions] == ["standard", "hits"]
    assert [*results.conventions["standard"]] == ["mAP@all", "P@100"]
    assert results.is_worse_reranked


def test_query_expansion_is_an_entry_of_its_own(document, write):
    document["expanded"] = {"k": 5, "conventions": {"standard": {"mAP@all": 0.4, "P@100": 0.17}}}
    results = write(document)
    assert (results.expand_k, results.expanded["standard"]["mAP@all"]) == (5, 0.4)
    entry = next(entry for entry in eval_results(results) if entry.metric_args == {"expand": 5})
    assert (entry.metric_name, entry.metric_value) == ("mAP@all (standard, expanded by the first 5)", 0.4)


def test_passes_over_what_later_versions_add(document, write):
    document["conventions"]["standard"]["interval"] = [0.3, 0.35]
    document["intervals"] = {"mAP@all": [0.3, 0.35]}
    del document["chance"]
    results = write(document)
    assert set(results.conventions["standard"]) == {"mAP@all", "P@100"}
    assert results.chance is None


def test_the_model_index_says_protocol_and_convention_and_the_hub_takes_it(document, write):
    results = write(document)
    data = ModelCardData(model_name="mini", eval_results=eval_results(results))
    card = ModelCard(f"---\n{data.to_yaml()}\n---\n")

    assert problems(card.content, "model") == []
    (index,) = data.to_dict()["model-index"]
    (entry,) = index["results"]  # one dataset, all metrics
    assert entry["dataset"]["type"] == "sketchy-25"
    assert entry["dataset"]["args"]["protocol"] == "sketchy-25@1"
    values = {metric["name"]: metric for metric in entry["metrics"]}
    assert values["mAP@all (standard)"]["value"] == 0.331
    assert values["mAP@all (standard)"]["config"] == "standard"
    assert values["mAP@all (standard, best 100 re-ranked)"]["value"] == 0.268
    assert len(values) == 4


@pytest.mark.parametrize(("suffix"), ["generalized", "from-tuberlin-30@1"])
def test_another_setting_than_the_protocol_s_is_named_in_the_model_index(document, write, suffix):
    (entry, *_) = eval_results(write(document | {"protocol": f"sketchy-25@1/{suffix}"}))
    assert entry.dataset_type == "sketchy-25"
    assert entry.dataset_name.endswith(f"({suffix})")
    assert entry.dataset_config == suffix
    card = ModelCard(f"---\n{ModelCardData(model_name='mini', eval_results=[entry]).to_yaml()}\n---\n")
    assert problems(card.content, "model") == []


@pytest.mark.parametrize(
    "change",
    [
        {"num_queries": float("inf")},
        {"num_left_out": "x"},
        {"notes": 3},
        {"removed_categories": [1]},
        {"chance": 3},
        {"deduplicated": 3},
        {"reranked": {"k": "x"}},
        {"expanded": {"k": "x"}},
        {"conventions": {"standard": 3}},
    ],
)
def test_other_types_are_one_line(document, write, change):
    with pytest.raises(CaanError, match=r"not a metrics\.json") as error:
        write(document | change)
    assert "\n" not in str(error.value)


def test_the_table_has_a_row_a_convention():
    table = results_table({"standard": {"mAP@all": 0.5, "P@100": 0.25}, "hits": {"mAP@all": 0.5}})
    assert table.splitlines()[0] == "| convention | mAP@all | P@100 |"
    assert table.splitlines()[2:] == ["| `standard` | 0.5000 | 0.2500 |", "| `hits` | 0.5000 |  |"]


@pytest.mark.parametrize(
    "broken",
    ["{", "[]", "{}", '{"conventions": {}}', '{"conventions": {"standard": {"mAP@all": NaN}}, "protocol": "a"}'],
)
def test_what_is_no_metrics_file_is_one_line(write, broken, tmp_path):
    with pytest.raises(CaanError, match=r"not a metrics\.json") as error:
        write(broken)
    assert "\n" not in str(error.value)
    with pytest.raises(CaanError, match="no such file"):
        read_results(tmp_path / "gone.json")

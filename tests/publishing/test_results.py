import json

import pytest
from hub_card_rules import problems
from huggingface_hub import ModelCard, ModelCardData

from caan_hf import CaanError
from caan_hf.encoding.checkpoint import CheckpointEncoder
from caan_hf.evaluation import EvaluationOptions, ZeroShotEvaluator
from caan_hf.evaluation.record import evaluation_record
from caan_hf.publishing.results import eval_results, public_metrics, read_results, results_table


@pytest.fixture
def document(tiny_caan, split):
    """The document of a real evaluation, with the scores of a trained model."""
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
def read(tmp_path):
    """`read(document)`: what `read_results` returns for a file with this content."""

    def read(document):
        file = tmp_path / "metrics.json"
        file.write_text(document if isinstance(document, str) else json.dumps(document), encoding="utf-8")
        return read_results(file)

    return read


def test_reads_the_document_of_the_evaluator(document, read):
    results = read(document)
    assert (results.protocol, results.benchmark, results.split) == ("sketchy-25@1", "sketchy-25", "test")
    assert (results.num_queries, results.num_gallery, results.chance_map) == (625, 625, 0.049)
    assert results.conventions["standard"]["mAP@all"] == 0.331
    assert (results.reranked.k, results.reranked.conventions["standard"]["mAP@all"]) == (100, 0.268)
    low, high = results.interval
    assert 0 < low < high < 1


def test_standard_convention_and_map_come_first(document, read):
    document["conventions"] = {"hits": {"P@100": 0.1, "mAP@all": 0.2}, "standard": {"P@100": 0.1, "mAP@all": 0.3}}
    results = read(json.dumps(document, sort_keys=True))
    assert [*results.conventions] == ["standard", "hits"]
    assert [*results.conventions["standard"]] == ["mAP@all", "P@100"]
    assert results.is_worse_reranked


def test_query_expansion_has_its_own_entry_in_the_model_index(document, read):
    document["expanded"] = {"k": 5, "conventions": {"standard": {"mAP@all": 0.4, "P@100": 0.17}}}
    results = read(document)
    assert (results.expanded.k, results.expanded.conventions["standard"]["mAP@all"]) == (5, 0.4)
    entry = next(entry for entry in eval_results(results) if entry.metric_args == {"expand": 5})
    assert (entry.metric_name, entry.metric_value) == ("mAP@all (standard, expanded by the first 5)", 0.4)


def test_fields_of_later_versions_are_ignored(document, read):
    document["conventions"]["standard"]["interval"] = [0.3, 0.35]
    document["intervals"] = {"mAP@all": [0.3, 0.35]}
    del document["chance"]
    results = read(document)
    assert set(results.conventions["standard"]) == {"mAP@all", "P@100"}
    assert results.chance_map is None


def test_fields_that_are_null_count_as_missing(document, read):
    names = ("reranked", "expanded", "deduplicated", "notes", "removed_categories", "chance", "confidence")
    results = read(document | dict.fromkeys(names) | {"protocol": None, "split": None, "num_left_out": None})
    assert (results.protocol, results.split, results.caveats, results.interval) == ("unnamed", "test", [], None)


def test_the_hub_accepts_the_model_index_which_names_protocol_and_convention(document, read):
    results = read(document)
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


@pytest.mark.parametrize("suffix", ["generalized", "from-tuberlin-30@1"])
def test_the_model_index_names_a_setting_that_differs_from_the_protocol(document, read, suffix):
    (entry, *_) = eval_results(read(document | {"protocol": f"sketchy-25@1/{suffix}"}))
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
        {"expanded": {"k": "5"}},
        {"conventions": {"standard": 3}},
    ],
)
def test_a_field_of_the_wrong_type_is_a_one_line_error(document, read, change):
    (field,) = change
    with pytest.raises(CaanError, match=rf"metrics\.json: {field}.*caan evaluate") as error:
        read(document | change)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "broken",
    ["{", "[]", "{}", '{"conventions": {}}', '{"conventions": {"standard": {"mAP@all": NaN}}, "protocol": "a"}'],
)
def test_another_file_is_a_one_line_error(read, broken):
    with pytest.raises(CaanError, match=r"metrics\.json: .*caan evaluate") as error:
        read(broken)
    assert "\n" not in str(error.value)


def test_results_without_any_finite_number_are_refused(document, read):
    with pytest.raises(CaanError, match=r"metrics\.json: conventions"):
        read(json.dumps(document | {"conventions": {"standard": {"mAP@all": float("nan")}}}))


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(CaanError, match=r"gone\.json: .*No such file"):
        read_results(tmp_path / "gone.json")


def test_the_table_has_one_row_per_convention():
    table = results_table({"standard": {"mAP@all": 0.5, "P@100": 0.25}, "hits": {"mAP@all": 0.5}})
    assert table.splitlines()[0] == "| convention | mAP@all | P@100 |"
    assert table.splitlines()[2:] == ["| `standard` | 0.5000 | 0.2500 |", "| `hits` | 0.5000 |  |"]


MACHINE = {
    "protocol": "sample@1",
    "conventions": {"standard": {"mAP@all": 0.5}},
    "checkpoint": "/of/somebody/runs/x/model",
    "data": "/of/somebody/data/sketchy 25",
    "command": "caan evaluate /of/somebody/runs/x/model --data '/of/somebody/data/sketchy 25' --split test "
    "--trained-on /of/somebody/seen.txt",
    "host": "machine-of-somebody",
}


def test_published_metrics_contain_no_paths_and_a_working_command():
    public = public_metrics(MACHINE, "me/tiny")
    assert "somebody" not in str(public)
    assert public["conventions"] == MACHINE["conventions"]
    assert (public["checkpoint"], public["data"]) == ("me/tiny", "sketchy 25")
    assert public["command"] == "caan evaluate me/tiny --data 'sketchy 25' --split test --trained-on seen.txt"
    assert public_metrics(public, "me/tiny") == public


@pytest.mark.parametrize("command", ["python /of/somebody/x.py", "caan evaluate", "caan 'evaluate", 3, None])
def test_another_command_is_not_published(command):
    assert "command" not in public_metrics(MACHINE | {"command": command}, "me/tiny")

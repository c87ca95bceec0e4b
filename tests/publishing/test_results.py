import json
from dataclasses import replace

import pytest
from hub_card_rules import problems
from huggingface_hub import ModelCard, ModelCardData

from caan_hf import CaanError
from caan_hf.encoding.checkpoint import CheckpointEncoder
from caan_hf.evaluation import EvaluationOptions, ZeroShotEvaluator
from caan_hf.evaluation.record import EvaluationRecord, evaluation_record
from caan_hf.publishing.results import eval_results, public_results, results_table, results_view


@pytest.fixture
def results(tiny_caan, split) -> EvaluationRecord:
    """The record of a real evaluation on a machine with private paths, with the scores of a trained model."""
    options = EvaluationOptions(rerank=6, trained_on="/of/somebody/seen.txt", no_cache=True, progress=False)
    evaluator = ZeroShotEvaluator(split, options, protocol="sketchy-25@1", split="test")
    result = evaluator(CheckpointEncoder(*tiny_caan, name="/of/somebody/runs/mini/model"))
    record = evaluation_record(replace(result, notes=("a subset",)), evaluator, "/of/somebody/data/sketchy 25")
    reranked = record.reranked.model_copy(
        update={"k": 100, "conventions": {"standard": {"mAP@all": 0.268, "P@100": 0.15}}}
    )
    scores = {"standard": {"mAP@all": 0.331, "P@100": 0.162}, "hits": {"mAP@all": 0.331, "P@100": 0.162}}
    return record.model_copy(update={"conventions": scores, "reranked": reranked})


@pytest.mark.parametrize(
    ("ranking", "weight", "arguments", "name"),
    [
        ({"expanded": 5}, None, {"expand": 5}, "expanded by the first 5"),
        ({"adjusted": 5}, 0.5, {"smooth": 5, "hub_weight": 0.5}, "smooth@5, hubs 0.5"),
        ({"adjusted": None}, 0.5, {"hub_weight": 0.5}, "hubs 0.5"),
    ],
)
def test_every_ranking_has_its_own_entry_in_the_model_index(results, ranking, weight, arguments, name):
    ((field, k),) = ranking.items()
    other = results.reranked.model_copy(update={"k": k, "conventions": {"standard": {"mAP@all": 0.4}}})
    entry = eval_results(results.model_copy(update={"reranked": None, field: other, "hub_weight": weight}))[-1]
    assert (entry.metric_name, entry.metric_value) == (f"mAP@all (standard, {name})", 0.4)
    assert entry.metric_args == arguments


@pytest.mark.parametrize(
    ("adjusted", "after", "is_worse"),
    [(None, 0.268, True), (None, 0.331, False), (None, 0.4, False), (0.5, 0.4, True), (0.3, 0.32, False)],
)
def test_a_worse_ranking_after_reranking_is_reported(results, adjusted, after, is_worse):
    """Photos are re-ranked from the adjusted ranking, if there is one; the plain one has an mAP@all of 0.331."""
    found = {
        name: score and results.reranked.model_copy(update={"conventions": {"standard": {"mAP@all": score}}})
        for name, score in {"adjusted": adjusted, "reranked": after}.items()
    }
    assert results_view(results.model_copy(update=found))["is_worse_reranked"] == is_worse


def test_the_hub_accepts_the_model_index_which_names_protocol_and_convention(results):
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
    assert values["P@100 (standard)"]["type"] == "precision_at_100"
    assert len(values) == 4


@pytest.mark.parametrize("suffix", ["generalized", "from-tuberlin-30@1"])
def test_the_model_index_names_a_setting_that_differs_from_the_protocol(results, suffix):
    (entry, *_) = eval_results(results.model_copy(update={"protocol": f"sketchy-25@1/{suffix}"}))
    assert entry.dataset_type == "sketchy-25"
    assert entry.dataset_name.endswith(f"({suffix})")
    assert entry.dataset_config == suffix
    card = ModelCard(f"---\n{ModelCardData(model_name='mini', eval_results=[entry]).to_yaml()}\n---\n")
    assert problems(card.content, "model") == []


@pytest.mark.parametrize("conventions", [{}, {"standard": 3}, {"standard": {"mAP@all": None}}])
def test_a_file_without_metrics_is_a_one_line_error(results, tmp_path, conventions):
    document = results.model_dump(mode="json") | {"conventions": conventions}
    (tmp_path / "metrics.json").write_text(json.dumps(document))
    with pytest.raises(CaanError, match=r"metrics\.json: conventions.*caan evaluate") as error:
        EvaluationRecord.of_folder(tmp_path)
    assert "\n" not in str(error.value)


def test_the_table_has_one_row_per_convention():
    table = results_table({"standard": {"mAP@all": 0.5, "P@100": 0.25}, "hits": {"mAP@all": 0.5}})
    assert table.splitlines()[0] == "| convention | mAP@all | P@100 |"
    assert table.splitlines()[2:] == ["| `standard` | 0.5000 | 0.2500 |", "| `hits` | 0.5000 |  |"]


def test_published_metrics_contain_no_paths_and_a_working_command(results):
    public = public_results(results, "me/tiny")
    assert "somebody" not in public.model_dump_json()
    assert public.conventions == results.conventions
    assert (public.checkpoint, public.data) == ("me/tiny", "sketchy 25")
    assert public.command.startswith("caan evaluate me/tiny --data 'sketchy 25' --split test")
    assert "--trained-on seen.txt" in public.command
    assert public_results(public, "me/tiny") == public
    with_seen = public_results(results.model_copy(update={"seen": results}), "me/tiny")
    assert with_seen.seen == public

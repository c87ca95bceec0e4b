"""The report: what is written can be read back, says what was evaluated, and no incomplete report is left."""

import json
import re
from dataclasses import replace

import datasets
import numpy as np
import pyarrow.parquet
import pytest

from caan_hf.encoding.checkpoint import CheckpointEncoder
from caan_hf.errors import CaanError
from caan_hf.evaluation import EvaluationOptions, ZeroShotEvaluator, report
from caan_hf.evaluation.record import EvaluationRecord, evaluation_record, retrieved_shares, worst_confusions
from caan_hf.evaluation.report import write_report
from caan_hf.evaluation.report_record import gallery_hash

PICTURES = ["confusion.png", "precision_recall.png", "top10.png"]
FILES = sorted([*PICTURES, "metrics.json", "queries.parquet", "report.html", "report.md"])
REMOVED = {"car (sedan)": "car", "tree": "tree"}


@pytest.fixture(params=["global", "others", "others with a relation network"])
def evaluated(request, tiny_caan, late_caan, split):
    """A result and its evaluator, on a split in which the first photo occurs twice."""
    rows = datasets.concatenate_datasets([split, split.select([0])])
    rankings = {"smooth": 2, "rerank": 6, "expand": 3} if request.param != "global" else {}
    options = EvaluationOptions(progress=False, no_cache=True, **rankings)
    conventions = ("standard", "sake")
    evaluator = ZeroShotEvaluator(
        rows, options, protocol="sketchy-25@1", split="test", conventions=conventions, deduplicate=True
    )
    model = late_caan if request.param == "others" else tiny_caan
    result = evaluator(CheckpointEncoder(*model, name="runs/model"))
    return replace(result, notes=("a <subset>",), removed_categories=REMOVED), evaluator


only_global = pytest.mark.parametrize("evaluated", ["global"], indirect=True)


@pytest.fixture
def record(evaluated):
    return evaluation_record(*evaluated, "data/sample")


@pytest.fixture
def pages(evaluated, tmp_path):
    """The content of `report.md` and of `report.html`."""
    write_report(*evaluated, tmp_path, data="data/sample")
    return [(tmp_path / name).read_text() for name in ("report.md", "report.html")]


def test_record_can_be_read_back(evaluated, record, tmp_path):
    result, evaluator = evaluated
    folder = tmp_path / "new" / "folder"
    write_report(result, evaluator, folder, data="data/sample")
    assert sorted(path.name for path in folder.iterdir()) == FILES
    table = pyarrow.parquet.read_table(folder / "queries.parquet").to_pydict()
    assert table["source"] == list(evaluator.sketches["source"])
    assert table["category"] == [evaluator.category_names[label] for label in evaluator.sketch_categories]
    rankings = {"": result, "adjusted/": result.adjusted, "rerank/": result.reranked, "expand/": result.expanded}
    for prefix, ranking in rankings.items():
        if ranking:
            assert np.mean(table[f"{prefix}standard/mAP@all"]) == pytest.approx(ranking.metrics["mAP@all"])
    found = EvaluationRecord.of_folder(folder)
    assert found == record
    assert found.conventions == result.conventions
    assert (found.protocol, found.split) == ("sketchy-25@1", "test")
    assert (found.num_queries, found.num_left_out, found.num_gallery) == (12, 0, 21)
    assert found.chance["mAP@all"] == result.chance
    assert found.removed_categories == REMOVED
    assert (found.checkpoint, found.model.kind, found.model.precision) == ("runs/model", "checkpoint", "float32")
    low, high = found.confidence["sake"]["mAP@all"]
    assert low <= found.conventions["sake"]["mAP@all"] <= high
    assert found.averages["standard"]["micro"] == pytest.approx(found.conventions["standard"])
    assert found.averages["sake"]["macro"] == pytest.approx(found.conventions["sake"])
    assert (found.deduplicated.num_duplicates, found.deduplicated.num_gallery) == (1, 20)
    assert len(found.precision_at_recall) == 101
    if result.reranked:
        assert (found.adjusted.k, found.reranked.k, found.expanded.k) == (2, 6, 3)
        assert found.adjusted.conventions == result.adjusted.conventions
        assert found.reranked.conventions == result.reranked.conventions
        assert found.expanded.conventions == result.expanded.conventions
    else:
        assert found.adjusted is found.reranked is found.expanded is None


@only_global
def test_records_of_other_versions_are_read(record, tmp_path):
    document = record.model_dump(mode="json") | {"added_later": 1}
    del document["model"], document["k"]
    (tmp_path / "metrics.json").write_text(json.dumps(document))
    assert EvaluationRecord.of_folder(tmp_path).conventions == record.conventions


@only_global
def test_categories_have_their_counts_and_values(evaluated, record):
    rows = record.by_category
    assert set(rows) == {"blue", "green", "red", "yellow bird"}
    assert sum(row["photos"] for row in rows.values()) == 21
    assert all(row["sketches"] == 3 for row in rows.values())
    assert rows["blue"]["mAP@all"] == evaluated[0].by_category("standard")["blue"]["mAP@all"]
    assert all(row["most_confused_with"] != name for name, row in rows.items())


def test_confusions_are_counted_and_sorted(split):
    evaluator = ZeroShotEvaluator(split)
    evaluator.category_names = list("abcd")
    evaluator.sketch_categories = np.array([0, 0, 1, 2])
    evaluator.photo_categories = np.array([0, 0, 1, 1, 2])
    shares, names = retrieved_shares(np.array([[0, 1], [0, 2], [2, 3], [4, 0]]), evaluator)
    assert names == ["a", "b", "c"]
    assert shares.tolist() == [[0.75, 0.25, 0], [0, 1, 0], [0.5, 0, 0.5]]
    found = [(one.category, one.retrieved, one.share) for one in worst_confusions(shares, names)]
    assert found == [("c", "a", 0.5), ("a", "b", 0.25)]


def test_pages_say_what_was_evaluated(evaluated, record, pages):
    result, (text, page) = evaluated[0], pages
    for part in (
        "`runs/model` (checkpoint, float32)",
        "12 sketches",
        "21 photos, of which 1",
        f"{result.chance:.4f}",
        "car (sedan) (as car), tree\n",
        "a <subset>",
        record.command,
        "](top10.png)",
        "](confusion.png)",
        f"| standard | mAP@all | {result.metrics['mAP@all']:.4f} |",
    ):
        assert part in text
    others = " smooth@2 | rerank@6 | expand@3 |" if result.reranked else ""
    assert f"| convention | metric | global | 95 % interval |{others} without duplicates |" in text
    tables = re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE)
    assert len(tables) == 3
    for table in tables:
        assert len({line.count("|") for line in table.splitlines()}) == 1
    assert "a &lt;subset&gt;" in page
    assert "<subset>" not in page
    sources = re.findall(r'(?:src|href)="([^"]*)"', page)
    assert len(sources) == 3
    assert all(source.startswith("data:image/png;base64,") for source in sources)
    for content in pages:
        assert ("w = 0.25" in content) == (result.local_weight == 0.25)
        assert record.plain_words in content


@only_global
def test_too_many_categories_have_no_confusion_chart(evaluated, tmp_path, monkeypatch):
    monkeypatch.setattr(report, "confusion_chart", lambda *_: None)
    write_report(*evaluated, tmp_path, data="data/sample")
    assert not (tmp_path / "confusion.png").exists()
    for name in ("report.md", "report.html"):
        assert "by category" not in (tmp_path / name).read_text()


def test_figure_shows_the_ranking_that_its_captions_name(evaluated, record, monkeypatch, tmp_path):
    result, evaluator = evaluated
    drawn = {}

    def record_figure(evaluator, queries, top, is_right, *, title, subtitle):
        drawn.update(top=top, subtitle=subtitle)
        return b"png"

    monkeypatch.setattr(report, "top10_figure", record_figure)
    write_report(result, evaluator, tmp_path, data="data/sample")
    score = "fused score" if result.local_weight else "local score"
    is_reranked = result.reranked is not None
    how = f"first 6 photos re-ranked by {score} (smooth@2, rerank@6)"
    caption = how if is_reranked else "ranked by global embedding"
    shown = result.reranked if is_reranked else result
    np.testing.assert_array_equal(drawn["top"], shown.top)
    assert drawn["subtitle"].startswith(caption)
    assert f"{shown.metrics['mAP@all']:.3f}" in drawn["subtitle"]
    for name in ("report.md", "report.html"):
        assert caption in (tmp_path / name).read_text()


@pytest.mark.parametrize(
    ("rankings", "caption"),
    [
        ({"rerank": 0}, "ranked by global embedding"),
        ({"rerank": 0, "smooth": 2}, "ranked by global embedding (smooth@2)"),
        ({"rerank": 50}, "ranked by fused score (rerank, all pairs)"),
        ({"rerank": 0, "expand": 3}, "ranked by global embedding"),
    ],
)
def test_captions_name_the_ranking_that_a_search_shows(late_caan, split, rankings, caption):
    evaluator = ZeroShotEvaluator(split, EvaluationOptions(progress=False, no_cache=True, **rankings))
    result = evaluator(CheckpointEncoder(*late_caan, name="runs/model"))
    assert evaluation_record(result, evaluator, "data/sample").shown_as == caption


def test_plain_words_count_the_right_photos_among_the_first_ten(evaluated, record):
    result, evaluator = evaluated
    top = result.shown.top[result.queries]
    right = evaluator.photo_categories[top] == evaluator.sketch_categories[result.queries][:, None]
    numbers = re.findall(r"\d+(?:\.\d+)?", record.plain_words)
    mean, chance = f"{right.sum(axis=1).mean():.1f}", f"{10 * record.chance['precision']:.1f}"
    assert numbers[:5] == ["10", mean, chance, "10", f"{100 * right.any(axis=1).mean():.0f}"]
    assert record.shown_as[1:] in record.plain_words  # a sentence, which begins with a capital letter


def test_plain_words_of_a_small_gallery_and_of_an_earlier_record(tiny_caan, split):
    rows = split.select(range(6))  # a sketch and a photo of three categories
    evaluator = ZeroShotEvaluator(rows, EvaluationOptions(progress=False, no_cache=True))
    record = evaluation_record(evaluator(CheckpointEncoder(*tiny_caan, name="m")), evaluator, "data/sample")
    assert record.plain_words.startswith("Of the first 3 photos")
    assert "100 % of the sketches" in record.plain_words
    assert record.model_copy(update={"first": None}).plain_words == ""


@only_global
def test_a_full_disk_leaves_no_part_of_a_report(evaluated, tmp_path, full_disk):
    with pytest.raises(CaanError, match=r"png: cannot be written \(File too large"):
        write_report(*evaluated, tmp_path / "report", data="data/sample")
    assert list((tmp_path / "report").iterdir()) == []


@only_global
def test_a_full_disk_keeps_the_earlier_report_which_a_later_one_replaces(evaluated, tmp_path, monkeypatch):
    write_report(*evaluated, tmp_path, data="data/sample")
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}

    def full(*_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(pyarrow.parquet, "write_table", full)
        with pytest.raises(CaanError, match=r"queries\.parquet: cannot be written \(No space left"):
            write_report(*evaluated, tmp_path, data="data/another")
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before
    write_report(*evaluated, tmp_path, data="data/another")
    assert sorted(path.name for path in tmp_path.iterdir()) == FILES
    assert json.loads((tmp_path / "metrics.json").read_text())["data"] == "data/another"


def test_hash_depends_on_the_gallery_alone(split):
    hashes = {gallery_hash(ZeroShotEvaluator(split.select(range(rows)))) for rows in (20, 20, 32)}
    assert len(hashes) == 2

"""Held-out sketches of seen categories are queries of the same mixed gallery."""

import collections

import datasets
import pytest
from labelled_rows import labelled_rows, picture

import caan_hf
from caan_hf import CaanError
from caan_hf.benchmarks import PrepareOptions, prepare_benchmark
from caan_hf.encoding.checkpoint import CheckpointEncoder
from caan_hf.evaluation import EvaluationOptions, evaluate_embeddings
from caan_hf.evaluation.record import EvaluationRecord
from caan_hf.evaluation.seen_queries import seen_queries
from caan_hf.evaluation.setting import mixed, plain

PREPARED = PrepareOptions(progress=False, validation_categories=0)


@pytest.fixture
def benchmark():
    return datasets.DatasetDict(train=labelled_rows([0, 1], photos=3), test=labelled_rows([2, 3], photos=3))


@pytest.fixture
def drawings(tmp_path):
    """Another benchmark on disk, with a synonym of a seen category and with an unseen category."""
    for category, seeds in (("car", (7, 8, 9)), ("Cat", (57,)), ("tree", (157,)), ("zebra", (3,))):
        for kind in ("sketches", "photos"):
            (tmp_path / "raw" / kind / category).mkdir(parents=True)
        for seed in seeds:
            picture(seed, True).save(tmp_path / "raw" / "sketches" / category / f"{seed}.png")
        picture(seeds[0], False).save(tmp_path / "raw" / "photos" / category / "photo.png")
    (tmp_path / "raw" / "unseen.txt").write_text("zebra\ntree\n")
    prepare_benchmark("folder", tmp_path / "raw", tmp_path / "drawings", PREPARED)
    return tmp_path / "drawings"


def counts(setting):
    names = setting.rows.features["category"].names
    return collections.Counter(
        (modality, names[category])
        for modality, category in zip(setting.rows["modality"], setting.rows["category"], strict=True)
    )


def test_sketches_of_seen_categories_are_queries_of_the_same_gallery(benchmark, drawings):
    setting = mixed(plain(benchmark, None, "test"), benchmark)
    found = seen_queries(setting, benchmark, drawings)
    photos = {key: count for key, count in counts(setting).items() if key[0] == 1}
    assert counts(found) == {(0, "car (sedan)"): 3, (0, "cat"): 1, **photos}
    columns = setting.rows["source"], setting.rows["modality"]
    assert found.rows["source"][4:] == [source for source, modality in zip(*columns, strict=True) if modality]


def test_sketches_of_the_train_split_are_left_out(benchmark, drawings, tmp_path):
    trained = benchmark["train"].cast_column("image", datasets.Image(decode=False))[0]["image"]["bytes"]  # a car
    (tmp_path / "raw" / "sketches" / "car" / "trained.png").write_bytes(trained)
    prepare_benchmark("folder", tmp_path / "raw", tmp_path / "more", PREPARED)
    setting = mixed(plain(benchmark, None, "test"), benchmark)
    assert counts(seen_queries(setting, benchmark, tmp_path / "more"))[0, "car (sedan)"] == 3


def test_a_benchmark_without_such_sketches_is_an_error(drawings):
    others = datasets.DatasetDict(train=labelled_rows([2]), test=labelled_rows([0, 1, 3]))
    with pytest.raises(CaanError, match=r"--seen-queries .*drawings: no sketches.*Give"):
        seen_queries(mixed(plain(others, None, "test"), others), others, drawings)


@pytest.mark.parametrize("options", [{"seen_queries": "x"}, {"mixed": True, "generalized": True}])
def test_options_that_need_or_exclude_each_other_are_named(options):
    with pytest.raises(CaanError, match="--mixed"):
        EvaluationOptions(**options)


@pytest.mark.parametrize("no_cache", [True, False])
def test_both_halves_of_the_queries_are_evaluated(benchmark, drawings, tiny_caan, tmp_path, no_cache):
    encoder = CheckpointEncoder(*tiny_caan)
    cache = {} if no_cache else {"cache": tmp_path / "cache"}
    options = EvaluationOptions(progress=False, mixed=True, seen_queries=drawings, smooth=2, no_cache=no_cache, **cache)
    result = caan_hf.evaluate(encoder, benchmark, options, out=tmp_path / "report")
    assert (result.num_queries, result.num_gallery, result.seen.num_queries, result.seen.num_gallery) == (4, 12, 4, 12)
    setting = mixed(plain(benchmark, None, "test"), benchmark)
    for found, queried in ((result, setting), (result.seen, seen_queries(setting, benchmark, drawings))):
        sides = [queried.rows.filter(lambda row, side=side: row["modality"] == side) for side in (0, 1)]
        embeds = encoder.encode_sketches(sides[0]["image"][:]), encoder.encode_photos(sides[1]["image"][:])
        expected = evaluate_embeddings(*embeds, *(side["category"][:] for side in sides), cutoffs=(12, 100, 200))
        assert found.metrics == pytest.approx(expected.metrics)
        assert "P@12" in found.metrics
    record = EvaluationRecord.of_folder(tmp_path / "report")
    assert record.seen.conventions == result.seen.conventions
    text = (tmp_path / "report" / "report.md").read_text()
    unseen, seen = result.metrics["mAP@all"], result.seen.metrics["mAP@all"]
    mean = 2 * unseen * seen / (unseen + seen)
    assert f"| global | mAP@all | {unseen:.4f} | {seen:.4f} | {mean:.4f} |" in text
    assert f"| smooth@2 | P@12 | {result.adjusted.metrics['P@12']:.4f} |" in text
    assert "harmonic mean" in (tmp_path / "report" / "report.html").read_text()


def test_unseen_queries_alone_are_evaluated_without_a_harmonic_mean(benchmark, tiny_caan, tmp_path):
    options = EvaluationOptions(progress=False, mixed=True, no_cache=True)
    result = caan_hf.evaluate(CheckpointEncoder(*tiny_caan), benchmark, options, out=tmp_path / "report")
    assert result.seen is None
    text = (tmp_path / "report" / "report.md").read_text()
    assert "| ranking | metric | unseen |\n" in text
    assert "harmonic" not in text

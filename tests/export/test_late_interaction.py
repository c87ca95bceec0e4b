"""Exports of checkpoints with late interaction: two graphs, and local scores that numpy computes."""

import json
import shutil

import numpy as np
import onnx
import pyarrow.parquet as pq
import pytest
from caan_export.check import check_export
from caan_export.cli.main import app as caan_export
from caan_export.manifest import ExportedFolder
from caan_export.options import TimingOptions
from caan_export.runtime import CaanOnnx
from caan_export.timing import time_graphs
from caan_export.triton import write_triton
from export_folders import change_manifest, record_hashes
from onnx import numpy_helper
from PIL import Image, ImageDraw
from typer.testing import CliRunner

from caan_hf import Gallery
from caan_hf.benchmarks.sample import draw_object
from caan_hf.cli.main import app as caan
from caan_hf.encoding.checkpoint import CheckpointEncoder
from caan_hf.errors import CaanError

TOLERANCE = {"fp32": 1e-5, "fp16": 2e-3, "int8": 0.05}


@pytest.fixture
def encoder(late_checkpoint) -> CheckpointEncoder:
    return CheckpointEncoder.load(str(late_checkpoint), device="cpu")


def drawing(*lines, width=1, size=(64, 64), ink="black") -> Image.Image:
    image = Image.new("RGB", size, "white")
    for line in lines:
        ImageDraw.Draw(image).line(line, fill=ink, width=width)
    return image


SKETCHES = [
    drawing([(30, 31), (31, 31)]),  # a dot
    drawing([(2, 32), (61, 32)]),  # a line of one pixel
    drawing([(5, 5), (300, 9)], [(5, 25), (300, 29)], size=(320, 40)),  # much wider than high
    drawing([(9, 2), (9, 120)], [(20, 2), (24, 120)], size=(30, 128), width=2),  # much higher than wide
    drawing([(8, 8), (56, 56)], ink=(205, 205, 205)),  # faint
    draw_object("tent", "sketch", seed=0, index=0, image_size=64),
]


def run(app, *arguments) -> str:
    result = CliRunner().invoke(app, [*map(str, arguments)], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


@pytest.mark.parametrize("dtype", ["fp32", "fp16", "int8"])
def test_local_tokens_equal_those_of_torch_and_are_zero_where_there_is_no_ink(late_exported, encoder, dtype):
    found = CaanOnnx.from_pretrained(late_exported(dtype), ["cpu"])
    pixels = np.stack([encoder.prepare(encoder.clean_sketch(sketch), "sketch") for sketch in SKETCHES])
    blank = np.broadcast_to(pixels.max(), pixels[:1].shape)
    pixels = np.concatenate([pixels, blank])
    expected, local = encoder.encode_prepared(pixels, "sketch"), found.encode_prepared(pixels, "sketch").local_embeds
    np.testing.assert_allclose(local, expected.local_embeds, atol=TOLERANCE[dtype])
    inked = expected.local_embeds.any(axis=-1)
    np.testing.assert_array_equal(local.any(axis=-1), inked)
    assert inked.sum(axis=1).min() < 10
    assert inked[-1].all()  # without ink, every region counts
    photos = found.encode_prepared(pixels, "photo").local_embeds
    np.testing.assert_allclose(photos, encoder.encode_prepared(pixels, "photo").local_embeds, atol=TOLERANCE[dtype])
    assert photos.any(axis=-1).all()


def test_local_scores_equal_those_of_torch(late_exported, encoder):
    found = CaanOnnx.from_pretrained(late_exported())
    photos = encoder.encode([draw_object("cat", "photo", seed=0, index=i, image_size=48) for i in range(6)], "photo")
    sketches = encoder.encode(SKETCHES, "sketch")
    expected = encoder.local_scores(sketches.local_embeds, photos.local_embeds)
    scores = found.local_scores(sketches.local_embeds, photos.local_embeds)
    np.testing.assert_allclose(scores, expected, atol=1e-5)
    pairs = photos.local_embeds[[[0, 5], [1, 1], [2, 0], [3, 4], [4, 2], [5, 3]]]
    expected = encoder.paired_local_scores(sketches.local_embeds, pairs)
    np.testing.assert_allclose(found.paired_local_scores(sketches.local_embeds, pairs), expected, atol=1e-5)
    with pytest.raises(ValueError, match=r"photo_local_embeds .*\(photos, 25, 8\), got \(2, 16, 8\)"):
        found.local_scores(sketches.local_embeds, np.zeros((2, 16, 8)))


def test_the_manifest_has_two_graphs_and_what_the_scores_need(late_exported, encoder):
    content = json.loads((late_exported() / "caan_export.json").read_text())
    assert [*content["graphs"]] == ["sketch_encoder", "photo_encoder"]
    assert "relation.onnx" not in content["files"]
    assert (content["local_matching"], content["local_position_weight"]) == ("late_interaction", 0.1)
    last = content["parity"]["differences"][-1]
    assert (last["graph"], last["output"], last["batch"]) == ("late_interaction", "local_scores", "8 x 8")
    assert last["largest"] < 1e-5
    found = CaanOnnx.from_pretrained(late_exported())
    assert found.identity == encoder.identity
    assert found.local_weight == encoder.local_weight == 0.25
    assert found.expand == encoder.expand == 4
    assert found.reranks


def test_the_check_compares_local_scores_from_pixels(late_exported, late_checkpoint):
    for result in (check_export(late_exported()), check_export(late_exported("int8"), str(late_checkpoint))):
        assert len([one for one in result.differences if one.graph == "late_interaction"]) == 5
        assert result.providers.keys() == {"sketch_encoder", "photo_encoder"}


def altered(folder, tmp_path, alter_manifest=None, alter_sketch_encoder=None):
    """A copy of an export whose hashes are those of its altered files."""
    copy = shutil.copytree(folder, tmp_path / "copy")
    if alter_sketch_encoder is not None:
        model = onnx.load(copy / "sketch_encoder.onnx")
        alter_sketch_encoder(model)
        onnx.save(model, copy / "sketch_encoder.onnx")
    record_hashes(copy)
    change_manifest(copy, lambda content: content.update(alter_manifest or {}))
    return copy


@pytest.mark.parametrize("dtype", ["fp32", "int8"])
def test_ink_in_other_regions_fails_the_check(late_exported, tmp_path, dtype):
    def miss_light_ink(model):
        (threshold,) = (
            tensor for tensor in model.graph.initializer if np.all(numpy_helper.to_array(tensor) == np.float32(0.249))
        )
        threshold.CopyFrom(numpy_helper.from_array(np.float32(0.9), threshold.name))

    folder = altered(late_exported(dtype), tmp_path, alter_sketch_encoder=miss_light_ink)
    with pytest.raises(CaanError, match=r"^sketch_encoder\.onnx: local_embeds differs from torch by 1 on"):
        check_export(folder)


def test_another_position_prior_fails_the_check(late_exported, tmp_path):
    folder = altered(late_exported(), tmp_path, {"local_position_weight": 0.2})
    with pytest.raises(CaanError, match=r"^late_interaction: local_scores differs from torch"):
        check_export(folder)


def test_graphs_that_do_not_belong_to_the_local_matching_are_refused(late_exported, exported, tmp_path):
    with pytest.raises(CaanError, match=r"caan_export\.json: graphs must list .*relation"):
        ExportedFolder.open(altered(late_exported(), tmp_path / "a", {"local_matching": "relation"}))
    with pytest.raises(CaanError, match=r"caan_export\.json: graphs must list sketch_encoder, photo_encoder for"):
        ExportedFolder.open(altered(exported(), tmp_path / "b", {"local_matching": "late_interaction"}))


def test_local_scores_are_timed_in_numpy_and_torch(late_exported):
    timings = time_graphs([late_exported(), late_exported("int8")], TimingOptions([3], repeats=1, compiled=False))
    engines = {timing.engine for timing in timings if timing.graph == "late_interaction"}
    assert engines == {"numpy", "torch eager (cpu)"}
    assert {timing.graph for timing in timings} == {"sketch_encoder", "photo_encoder", "late_interaction"}


def test_the_commands_name_late_interaction(late_exported, tmp_path):
    assert "relation" not in run(caan_export, "check", late_exported())
    printed = run(caan_export, "bench", late_exported(), "--repeats", 1, "--batch", 2, "--no-compile", "--no-eager")
    assert "late_interaction: one sketch" in printed
    assert "relation" not in printed
    assert len(write_triton(late_exported(), tmp_path / "models")) == 2
    assert not (tmp_path / "models" / "relation").exists()


def test_an_evaluation_with_an_export_ranks_as_the_checkpoint(
    late_exported, late_checkpoint, benchmark_folder, tmp_path
):
    scores = []
    for name, model in (("onnx", late_exported()), ("torch", late_checkpoint)):
        options = ["--data", benchmark_folder, "--rerank", 20, "--no-cache", "--dtype", "float32"]
        run(caan, "evaluate", model, *options, "--out", tmp_path / name)
        queries = pq.read_table(tmp_path / name / "queries.parquet")
        scores.append(queries.select(["standard/mAP@all", "rerank/standard/mAP@all"]).to_pandas().to_numpy())
    np.testing.assert_allclose(*scores, atol=1e-6)  # of each sketch, so that no two photos may change places
    assert (scores[0][:, 0] != scores[0][:, 1]).any()


def test_a_search_with_an_export_ranks_as_the_checkpoint(late_exported, encoder, tmp_path):
    (tmp_path / "photos").mkdir()
    for index, name in enumerate(("tent", "cat", "mug", "fish", "house", "car") * 4):
        draw_object(name, "photo", seed=1, index=index, image_size=48).save(tmp_path / "photos" / f"{index}.png")
    gallery = Gallery.create(tmp_path / "gallery", model=encoder)
    gallery.add(tmp_path / "photos")
    with_export = Gallery.open(tmp_path / "gallery", model=late_exported())
    expected, found = (one.search(SKETCHES[-1], k=24) for one in (gallery, with_export))
    assert [one.path for one in found] == [one.path for one in expected]
    assert [one.local_score for one in found] == pytest.approx([one.local_score for one in expected], abs=1e-3)
    assert [one.path for one in found] != [one.path for one in with_export.search(SKETCHES[-1], k=24, rerank=False)]

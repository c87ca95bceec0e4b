"""A gallery accepts only encoders with embeddings that can be compared with its own."""

import json
import shutil
import sys

import lancedb
import numpy as np
import pytest
from photos import draw_photo, save_checkpoint

from caan_hf import CaanError
from caan_hf.gallery import Gallery

PLUGIN = '''
"""Opens folders that hold the path of a checkpoint."""
from pathlib import Path
from caan_hf.encoding.checkpoint import CheckpointEncoder

def open_folder(folder, name):
    return CheckpointEncoder.load(Path(folder, "other_runtime.json").read_text(), name=name, device="cpu")
'''


def copy_with(checkpoint, folder, file, **settings):
    """A copy of a checkpoint with other settings in one of its JSON files."""
    shutil.copytree(checkpoint, folder)
    document = json.loads((folder / file).read_text())
    place = document.get("image_processor", document)
    for name, value in settings.items():
        where = place if name in place else document
        where[name] = {**where[name], **value} if isinstance(value, dict) else value
    (folder / file).write_text(json.dumps(document))
    return folder


def assert_refused(photos, encoder, model, tmp_path, message):
    Gallery.create(tmp_path / "gallery", model=encoder).add(photos)
    for use in (
        lambda: Gallery.create(tmp_path / "gallery", model=str(model), device="cpu"),
        lambda: Gallery.open(tmp_path / "gallery", model=str(model), device="cpu").search(draw_photo(0)),
    ):
        with pytest.raises(CaanError, match=message) as error:
            use()
        assert "\n" not in str(error.value)
        assert str(model) in str(error.value)


def test_other_weights_are_refused(photos, encoder, tmp_path):
    assert_refused(photos, encoder, save_checkpoint(tmp_path / "other", seed=1), tmp_path, "other weights")


@pytest.mark.parametrize(
    ("file", "settings", "message"),
    [
        ("processor_config.json", {"size": {"height": 64, "width": 64}}, r"another input size \(32 and 64 pixels\)"),
        ("processor_config.json", {"image_mean": [0.1, 0.2, 0.3]}, "other processor settings"),
        ("processor_config.json", {"image_std": [0.1, 0.2, 0.3]}, "other processor settings"),
        ("processor_config.json", {"sketch_margin": 0.3}, "other processor settings"),
        ("config.json", {"photo_config": {"hidden_act": "relu"}}, "another model configuration"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_other_settings_are_refused(photos, checkpoint, encoder, tmp_path, file, settings, message):
    assert_refused(photos, encoder, copy_with(checkpoint, tmp_path / "other", file, **settings), tmp_path, message)


@pytest.mark.parametrize(("indexed", "searched"), [("bfloat16", "float32"), ("float32", "bfloat16")])
def test_a_gallery_is_searched_and_extended_in_another_precision(
    checkpoint, photos, sketch, tmp_path, indexed, searched
):
    options = {"model": str(checkpoint), "device": "cpu"}
    first = Gallery.create(tmp_path / "gallery", dtype=indexed, **options)
    first.add(photos)
    found = first.search(sketch, rerank=True)
    moved = Gallery.create(tmp_path / "gallery", dtype=searched, **options)
    assert (moved.encoder.identity.precision, moved.info.identity.precision) == (searched, indexed)
    assert moved.add(photos).num_unchanged == len(first)
    again = moved.search(sketch, rerank=True)
    assert {result.path for result in again} == {result.path for result in found}
    scores = [sorted(result.score for result in results) for results in (again, found)]
    np.testing.assert_allclose(*scores, atol=0.01)


@pytest.mark.parametrize(("version", "remedy"), [(1, "new folder"), (99, "[Uu]pgrade")])
def test_a_gallery_of_another_format_is_refused(encoder, tmp_path, version, remedy):
    Gallery.create(tmp_path / "gallery", model=encoder)
    table = lancedb.connect(tmp_path / "gallery").open_table("photos")
    metadata = json.loads(table.schema.metadata[b"caan_gallery"]) | {"format": version}
    schema = table.schema.with_metadata({"caan_gallery": json.dumps(metadata)})
    lancedb.connect(tmp_path / "gallery").create_table("photos", schema=schema, mode="overwrite")
    for open_gallery in (Gallery.open, lambda place: Gallery.create(place, model=encoder)):
        with pytest.raises(CaanError, match=remedy) as error:
            open_gallery(tmp_path / "gallery")
        assert "\n" not in str(error.value)


def test_photos_are_added_with_the_model_of_the_gallery_by_default(checkpoint, photos, tmp_path):
    Gallery.create(tmp_path / "gallery", model=str(checkpoint), device="cpu").add(photos)
    again = Gallery.create(tmp_path / "gallery", device="cpu")
    assert again.encoder.name == str(checkpoint)
    assert again.add(photos).num_added == 0


def test_another_lance_table_is_not_a_gallery(tmp_path):
    lancedb.connect(tmp_path / "gallery").create_table("photos", [{"path": "a"}])
    with pytest.raises(CaanError, match="not a gallery of caan-hf"):
        Gallery.open(tmp_path / "gallery")


@pytest.fixture
def plugin(tmp_path, monkeypatch):
    """An installed package that opens folders with a file `other_runtime.json`."""
    site = tmp_path / "site"
    info = site / "other_runtime-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: other-runtime\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[caan_hf.encoders]\nother_runtime.json = other_runtime:open_folder\n")
    (site / "other_runtime.py").write_text(PLUGIN)
    monkeypatch.syspath_prepend(str(site))
    yield
    sys.modules.pop("other_runtime", None)


def test_an_encoder_of_another_package_and_the_checkpoint_share_a_gallery(plugin, checkpoint, photos, sketch, tmp_path):
    export = tmp_path / "export"
    export.mkdir()
    (export / "other_runtime.json").write_text(str(checkpoint))
    gallery = Gallery.create(tmp_path / "gallery", model=str(export))
    gallery.add(photos)
    assert gallery.info.model == str(export)
    by_checkpoint = Gallery.open(tmp_path / "gallery", model=str(checkpoint), device="cpu", dtype="float32").search(
        sketch, rerank=True
    )
    assert Gallery.open(tmp_path / "gallery").search(sketch, rerank=True) == by_checkpoint


@pytest.mark.slow
def test_an_onnx_export_indexes_and_searches_like_its_checkpoint(checkpoint, photos, sketch, tmp_path):
    export = pytest.importorskip("caan_export.export", reason="the ONNX exporter is not installed")
    export.export_checkpoint(str(checkpoint), tmp_path / "onnx", export.ExportOptions())
    gallery = Gallery.create(tmp_path / "gallery", model=str(tmp_path / "onnx"))
    gallery.add(photos)
    by_checkpoint = Gallery.open(tmp_path / "gallery", model=str(checkpoint), device="cpu", dtype="float32")
    for rerank in (False, True):
        results = [some.search(sketch, k=12, rerank=rerank) for some in (gallery, by_checkpoint)]
        assert {result.path for result in results[0]} == {result.path for result in results[1]}
        scores = [sorted(result.score for result in some) for some in results]
        np.testing.assert_allclose(*scores, atol=1e-4)


@pytest.fixture(scope="module")
def untrained(tmp_path_factory):
    """A vision model that is not a CAAN."""
    from transformers import ViTConfig, ViTImageProcessor, ViTModel

    folder = tmp_path_factory.mktemp("vit")
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    ViTModel(ViTConfig(image_size=32, patch_size=8, **sizes)).save_pretrained(folder)
    ViTImageProcessor(size={"height": 32, "width": 32}).save_pretrained(folder)
    return str(folder)


def test_a_gallery_of_an_untrained_model_is_searched_but_not_reranked(untrained, photos, sketch, tmp_path):
    gallery = Gallery.create(tmp_path / "gallery", model=untrained, device="cpu")
    gallery.add(photos)
    assert not gallery.info.local
    results = gallery.search(sketch, k=3)
    assert len(results) == 3
    with pytest.raises(CaanError, match="no local embeddings"):
        gallery.search(sketch, rerank=True)
    with pytest.raises(CaanError, match="no local embeddings"):
        gallery.explain(sketch, results[0])

"""Exports open galleries without the library knowing who made them."""

import json
import sys

import numpy as np
import pytest
from photos import draw_photo

from caan_hf import CaanError
from caan_hf.gallery import Gallery
from caan_hf.gallery.encoder import EncoderIdentity, load_encoder, weights_fingerprint

PLUGIN = '''
"""Stands for an exporter's package: its folders hold the name of the checkpoint that answers for them."""
from pathlib import Path
from caan_hf.gallery.checkpoint_encoder import CheckpointEncoder

def open_folder(folder):
    encoder = CheckpointEncoder.load(Path(folder, "other_runtime.json").read_text(), device="cpu")
    encoder.name = str(folder)
    return encoder
'''


@pytest.fixture
def plugin(tmp_path, monkeypatch):
    """An installed package that opens folders with `other_runtime.json`, and one that cannot be imported."""
    site = tmp_path / "site"
    info = site / "other_runtime-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: other-runtime\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[caan_hf.encoders]\nother_runtime.json = other_runtime:open_folder\nbroken.json = no_such_module:open\n"
    )
    (site / "other_runtime.py").write_text(PLUGIN)
    monkeypatch.syspath_prepend(str(site))
    yield
    sys.modules.pop("other_runtime", None)


def test_an_export_is_opened_by_the_package_that_knows_it(plugin, checkpoint, photos, sketch, tmp_path):
    export = tmp_path / "export"
    export.mkdir()
    (export / "other_runtime.json").write_text(str(checkpoint))
    gallery = Gallery.create(tmp_path / "gallery", model=str(export))
    gallery.add(photos)
    assert gallery.info.model == str(export)
    by_checkpoint = Gallery.open(tmp_path / "gallery", model=str(checkpoint)).search(sketch, rerank=True)
    assert Gallery.open(tmp_path / "gallery").search(sketch, rerank=True) == by_checkpoint


def test_a_package_that_cannot_be_imported_is_named(plugin, tmp_path):
    (tmp_path / "broken.json").touch()
    with pytest.raises(CaanError, match=r"no_such_module.*pip install"):
        load_encoder(str(tmp_path))


@pytest.mark.slow
def test_an_onnx_export_indexes_and_searches_as_its_checkpoint(checkpoint, photos, sketch, tmp_path):
    export = pytest.importorskip("caan_export.export", reason="the ONNX exporter is not installed")
    export.export_checkpoint(str(checkpoint), tmp_path / "onnx", export.ExportOptions())
    gallery = Gallery.create(tmp_path / "gallery", model=str(tmp_path / "onnx"))
    gallery.add(photos)
    by_checkpoint = Gallery.open(tmp_path / "gallery", model=str(checkpoint))
    for rerank in (False, True):
        results = [some.search(sketch, k=12, rerank=rerank) for some in (gallery, by_checkpoint)]
        assert {result.path for result in results[0]} == {result.path for result in results[1]}
        scores = [sorted(result.score for result in some) for some in results]
        np.testing.assert_allclose(*scores, atol=1e-4)


def test_the_identity_survives_json():
    identity = EncoderIdentity("ab", 224, 512, (49, 512))
    assert EncoderIdentity.from_dict(json.loads(identity.to_json())) == identity


def test_the_fingerprint_is_of_the_weights():
    assert weights_fingerprint({"model.safetensors": "aa", "config.json": "bb"}) == "aa"
    shards = {"model-00001-of-00002.safetensors": "aa", "model-00002-of-00002.safetensors": "bb"}
    assert weights_fingerprint(shards) == weights_fingerprint(dict(reversed(shards.items())))
    assert weights_fingerprint(shards) != weights_fingerprint({**shards, "model-00002-of-00002.safetensors": "cc"})
    with pytest.raises(KeyError):
        weights_fingerprint({"pytorch_model.bin": "aa"})


def test_the_same_weights_in_another_folder_are_the_same_model(checkpoint, encoder, photos, tmp_path):
    import shutil

    shutil.copytree(checkpoint, tmp_path / "copy")
    Gallery.create(tmp_path / "gallery", model=encoder).add(photos)
    assert Gallery.open(tmp_path / "gallery", model=str(tmp_path / "copy")).search(draw_photo(3).convert("L"))

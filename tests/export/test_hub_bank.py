"""An export has the checkpoint's training sketches for the correction of hubs, and searches the same galleries."""

import shutil

import numpy as np
import pytest
import torch
from caan_export.export import ExportOptions, export_checkpoint
from caan_export.manifest import HUB_BANK
from caan_export.runtime import CaanOnnx
from export_folders import record_hashes
from photos import draw_photo
from tiny import VISION

from caan_hf import CaanError, CaanModel, Gallery
from caan_hf.encoding.load import load_encoder

TOWER = {**VISION, "num_hidden_layers": 1}


@pytest.fixture(scope="module")
def folders(save_checkpoint, tmp_path_factory):
    """A checkpoint with a bank, and its export."""
    folder = tmp_path_factory.mktemp("bank")
    towers = {"sketch_config": TOWER, "photo_config": dict(TOWER), "tie_visual_towers": True}
    save_checkpoint(folder / "model", hub_bank_size=5, hub_weight=0.6, **towers)
    model = CaanModel.from_pretrained(folder / "model")
    model.hub_bank.sketches.copy_(torch.nn.functional.normalize(torch.randn(5, 32), dim=1))
    model.save_pretrained(folder / "model")
    export_checkpoint(str(folder / "model"), folder / "onnx", ExportOptions())
    return folder / "model", folder / "onnx"


def test_the_export_corrects_hubs_as_the_checkpoint(folders):
    checkpoint, export = load_encoder(folders[0], device="cpu"), load_encoder(folders[1])
    assert isinstance(export, CaanOnnx)
    np.testing.assert_array_equal(export.hub_sketches, checkpoint.hub_sketches)
    assert export.hub_weight == checkpoint.hub_weight == 0.6


def test_checkpoint_and_export_can_update_the_same_gallery(folders, sketch, tmp_path):
    (tmp_path / "photos").mkdir()
    for number in range(12):
        draw_photo(number).save(tmp_path / "photos" / f"{number}.png")
    report = Gallery.create(tmp_path / "gallery", model=folders[0], device="cpu").add(tmp_path / "photos")
    assert report.hub_weight == 0.6
    by_export = Gallery.create(tmp_path / "gallery", model=folders[1])
    assert by_export.add(tmp_path / "photos").vectors_seconds == 0
    results = by_export.search(sketch, k=12)
    assert results != by_export.search(sketch, k=12, plain=True)


def test_a_damaged_bank_is_named(folders, tmp_path):
    copy = shutil.copytree(folders[1], tmp_path / "copy")
    contents = [b"nothing"]
    for shape in ((3, 7), (0, 32), ()):
        np.savez(tmp_path / "other.npz", sketches=np.zeros(shape, np.float32))
        contents.append((tmp_path / "other.npz").read_bytes())
    for content in contents:
        (copy / HUB_BANK).write_bytes(content)
        with pytest.raises(CaanError, match=rf"{HUB_BANK}.*(changed|damaged)"):
            CaanOnnx.from_pretrained(copy)
        record_hashes(copy)
        with pytest.raises(CaanError, match=rf"{HUB_BANK}: holds no features"):
            CaanOnnx.from_pretrained(copy).hub_sketches  # noqa: B018

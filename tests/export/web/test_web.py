"""`caan-export web`: the files of the page, and what it refuses."""

import hashlib
import json
import re
import shutil
from dataclasses import replace

import numpy as np
import onnxruntime
import pytest
from caan_export.cli.main import app
from caan_export.export import export_checkpoint
from caan_export.options import ExportOptions, WebOptions
from caan_export.web import write_web
from caan_export.web_model import compress_weights
from export_folders import change_manifest
from linear_graph import save_linear
from photos import draw_photo, save_checkpoint
from PIL import Image
from typer.testing import CliRunner

from caan_hf.errors import CaanError
from caan_hf.gallery import Gallery
from caan_hf.gallery.results import shown_name


@pytest.fixture
def options(onnx, empty_runtime) -> WebOptions:
    return WebOptions(model=str(onnx), runtime=empty_runtime)


@pytest.fixture
def page(gallery, options, tmp_path):
    write_web(gallery.table.uri, tmp_path / "page", options)
    return tmp_path / "page"


def test_stages_and_numbers_of_photos_are_reported(gallery, options, tmp_path):
    stages = []
    write_web(gallery.table.uri, tmp_path / "page", options, report=stages.append)
    assert stages[0] == "reading the gallery"
    assert stages[-1] == f"writing photos: 0 of {len(gallery)}"  # all in one batch


def contents(folder) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def settings(page) -> dict:
    return json.loads((page / "caan_web.json").read_text())


def test_the_vectors_are_those_that_the_gallery_searches(page, gallery):
    names = json.loads((page / "gallery" / "names.json").read_text())
    width = gallery.info.identity.global_dim
    vectors = np.fromfile(page / "gallery" / "global.bin", "<f2").reshape(-1, width).astype(np.float32)
    sketch = gallery.encode_sketch(draw_photo(3).convert("L"))
    results = gallery.search(sketch, k=30, rerank=False, exact=True)
    scores = dict(zip(names, vectors @ sketch.global_embeds, strict=True))
    for result in results:
        assert scores[shown_name(result.path)] == pytest.approx(result.score, abs=1e-3)
    assert not (page / "gallery" / "lowered.bin").exists()


def test_a_smoothed_gallery_has_its_smoothed_vectors(options, new_gallery, photos, tmp_path):
    new_gallery.add(photos, smooth=3)
    write_web(new_gallery.table.uri, tmp_path / "page", options)
    names = json.loads((tmp_path / "page" / "gallery" / "names.json").read_text())
    vectors = np.fromfile(tmp_path / "page" / "gallery" / "global.bin", "<f2").reshape(len(names), -1)
    sketch = new_gallery.encode_sketch(draw_photo(3).convert("L"))
    (best,) = new_gallery.search(sketch, k=1, rerank=False)
    assert float(vectors[names.index(shown_name(best.path))] @ sketch.global_embeds) == pytest.approx(
        best.score, abs=2e-3
    )


@pytest.fixture
def new_gallery(checkpoint, tmp_path) -> Gallery:
    return Gallery.create(tmp_path / "gallery", model=str(checkpoint), device="cpu")


def test_photos_are_small_and_without_metadata(options, new_gallery, tmp_path):
    exif = Image.Exif()
    exif[0x010F] = "secret camera"
    draw_photo(1, (300, 200)).save(tmp_path / "a.jpg", exif=exif, comment=b"secret comment")
    new_gallery.add([tmp_path / "a.jpg"], thumbnail=0)
    write_web(new_gallery.table.uri, tmp_path / "page", replace(options, thumbnails=100))
    (file,) = (tmp_path / "page" / "photos").rglob("*.jpg")
    assert Image.open(file).size == (100, 67)
    assert b"secret" not in file.read_bytes()
    assert not Image.open(file).getexif()


def test_a_photo_that_is_gone_is_grey_and_counted(options, new_gallery, tmp_path):
    draw_photo(1).save(tmp_path / "a.png")
    new_gallery.add([tmp_path / "a.png"], thumbnail=0)
    (tmp_path / "a.png").unlink()
    written = write_web(new_gallery.table.uri, tmp_path / "page", options)
    assert written.unreadable == 1
    (file,) = (tmp_path / "page" / "photos").rglob("*.jpg")
    assert len(set(Image.open(file).convert("RGB").get_flattened_data())) == 1


def test_no_path_of_this_machine_is_in_the_files(page, gallery, photos, onnx):
    for name, content in contents(page).items():
        if name != "sketch_encoder.onnx":
            for path in (photos, onnx, gallery.table.uri, "/home/", "/tmp/"):
                assert str(path).encode() not in content, name
    assert str(photos).encode() not in (page / "sketch_encoder.onnx").read_bytes()


def test_the_title_is_escaped(gallery, options, tmp_path):
    write_web(gallery.table.uri, tmp_path / "page", replace(options, title="<script>alert(1)</script> & more"))
    index = (tmp_path / "page" / "index.html").read_text()
    assert "<script>alert" not in index
    assert index.count("&lt;script&gt;alert(1)&lt;/script&gt; &amp; more") == 2


def test_scripts_and_markup_refer_to_the_folder_only(page):
    for name, content in contents(page).items():
        if name.endswith((".html", ".js", ".css")):
            assert not re.search(rb"(https?:)?//\w+[.:]", content), name
            assert not re.search(rb"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(", content), name
    policy = re.search(r'Content-Security-Policy" content="([^"]+)"', (page / "index.html").read_text())[1]
    assert policy.startswith("default-src 'none'")
    assert "unsafe-inline" not in policy
    assert "'unsafe-eval'" not in policy


def test_the_settings_list_every_file_with_its_hash(page):
    listed, files = settings(page)["files"], contents(page)
    for name, entry in listed.items():
        assert entry == {"bytes": len(files[name]), "sha256": hashlib.sha256(files[name]).hexdigest()}
    rest = {name for name in files if not name.startswith("photos/")} - listed.keys()
    assert rest == {"caan_web.json", "offline.js"}
    kept = json.loads(re.search(r"FILES = (\[.*\])", (page / "offline.js").read_text())[1])
    assert {"./", "caan_web.json", "page.js", "gallery/global.bin", "sketch_encoder.onnx"} <= set(kept)


def test_another_gallery_has_another_version_for_the_service_worker(page, gallery, options, tmp_path):
    write_web(gallery.table.uri, tmp_path / "again", options)
    assert settings(tmp_path / "again")["version"] == settings(page)["version"]
    write_web(gallery.table.uri, tmp_path / "other", replace(options, title="Other"))
    assert settings(tmp_path / "other")["version"] != settings(page)["version"]


def test_local_embeddings_can_be_left_out(gallery, options, tmp_path):
    written = write_web(gallery.table.uri, tmp_path / "page", replace(options, local=False))
    assert not written.explains
    assert written.sizes["local embeddings"] == 0
    assert settings(tmp_path / "page")["local"] is None


def test_the_command_prints_sizes_and_the_next_step(gallery, options, tmp_path):
    words = ["--model", options.model, "--runtime", str(options.runtime)]
    result = CliRunner().invoke(app, ["web", gallery.table.uri, str(tmp_path / "page"), *words])
    assert result.exit_code == 0, result.output
    for part in ("30 photos", "model", "runtime", "embeddings", "photos", "in all", "python -m http.server"):
        assert part in result.output


def refused(match, gallery_uri, out, options):
    before = set(out.parent.iterdir())
    with pytest.raises(CaanError, match=match):
        write_web(gallery_uri, out, options)
    assert set(out.parent.iterdir()) == before


def test_input_that_cannot_be_used_leaves_nothing_behind(gallery, options, onnx, tmp_path):
    uri, out = gallery.table.uri, tmp_path / "page"
    refused("no gallery|no such", str(tmp_path / "nothing"), out, options)
    int8 = tmp_path / "int8"
    shutil.copytree(onnx, int8)
    change_manifest(int8, lambda content: content.update(dtype="int8"))
    refused("int8.*--model", uri, out, replace(options, model=str(int8)))
    other = tmp_path / "other"
    export_checkpoint(str(save_checkpoint(tmp_path / "model", seed=1)), other, ExportOptions(atol=1e-3))
    refused("other weights", uri, out, replace(options, model=str(other)))
    wrong = tmp_path / "runtime"
    shutil.copytree(options.runtime, wrong)
    (wrong / "dist" / "ort.wasm.bundle.min.mjs").write_text("something else")
    refused("ort.wasm.bundle.min.mjs.*--runtime", uri, out, replace(options, runtime=wrong))
    refused("cannot be read.*--runtime", uri, out, replace(options, runtime=tmp_path / "none"))


def test_without_npm_the_message_names_the_option(gallery, options, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    refused("npm.*--runtime", gallery.table.uri, tmp_path / "page", replace(options, runtime=None))


def test_other_folders_are_never_replaced(page, gallery, options, tmp_path):
    refused("--overwrite", gallery.table.uri, page, options)
    write_web(gallery.table.uri, page, replace(options, overwrite=True))
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "letter.txt").write_text("keep")
    refused("other files", gallery.table.uri, mine, replace(options, overwrite=True))


def test_an_empty_gallery_is_refused(options, new_gallery, tmp_path):
    refused("empty", new_gallery.table.uri, tmp_path / "page", options)


def test_weights_in_int8_change_the_embeddings_little(page, gallery, options, onnx, tmp_path):
    write_web(gallery.table.uri, tmp_path / "exact", replace(options, dtype="fp32"))
    exact = (tmp_path / "exact" / "sketch_encoder.onnx").read_bytes()
    assert exact == (onnx / "sketch_encoder.onnx").read_bytes()
    pixels = {"pixel_values": np.random.default_rng(0).normal(size=(4, 3, 32, 32)).astype(np.float32)}
    compressed = (page / "sketch_encoder.onnx").read_bytes()
    assert len(compressed) < len(exact)
    one, other = (
        onnxruntime.InferenceSession(graph).run(["global_embeds", "local_embeds"], pixels)
        for graph in (exact, compressed)
    )
    for expected, found in zip(one, other, strict=True):
        assert (expected * found).sum(axis=-1).min() > 0.99
        assert not np.array_equal(expected, found)


@pytest.mark.parametrize("size", [1.0, 1e-3, 1e-6, 1e-9, 0.0, 1e5])
def test_weights_of_any_size_are_stored(tmp_path, size):
    weights = (size * np.random.default_rng(0).normal(size=(40, 30))).astype(np.float32)
    save_linear(tmp_path / "exact.onnx", weights)
    compress_weights(tmp_path / "exact.onnx", tmp_path / "int8.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "int8.onnx")
    (found,) = session.run(None, {"x": np.eye(40, dtype=np.float32)})
    assert np.abs(found - weights).max() <= max(0.005 * np.abs(weights).max(), 5e-8)

"""The runtime without torch, through its public face."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from caan_export import runtime
from caan_export.borrowed import CaanError
from caan_export.providers import TENSORRT
from caan_export.runtime import CaanOnnx
from PIL import Image

from caan_hf.benchmarks.sample import draw_object

# What a machine without torch has: any import of these fails, as if they were not installed.
WITHOUT_TORCH = """
import sys
class NotInstalled:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {"torch", "torchvision", "transformers", "timm", "datasets", "safetensors"}:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, NotInstalled())
"""
PAIR = 4 * (16 * 8 + 3 * 16 * 16)  # bytes of a photo and its pair, at 16 local tokens of 8
USE = """
import numpy as np
from caan_export.runtime import CaanOnnx
caan = CaanOnnx.from_pretrained(sys.argv[1])
features = caan.encode_photos([np.full((8, 9, 3), 90, np.uint8)] * 3)
print(features.global_embeds.shape, caan.relation_logits(features.local_embeds, features.local_embeds).shape)
from caan_export.check import check_export
print(len(check_export(sys.argv[1]).differences))
from caan_export.cli.main import app
"""


@pytest.fixture(scope="module")
def caan(exported) -> CaanOnnx:
    return CaanOnnx.from_pretrained(exported())


@pytest.fixture
def pictures() -> list[Image.Image]:
    return [draw_object("tent", "photo", seed=0, index=index, image_size=48 + index) for index in range(5)]


def python(code: str, *arguments) -> subprocess.CompletedProcess:
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)


def test_importing_it_imports_neither_torch_nor_transformers():
    heavy = '{"torch", "transformers", "torchvision", "timm", "datasets", "onnx", "caan_hf"}'
    done = python(f"import sys, caan_export.runtime; print(sorted({heavy} & set(sys.modules)))")
    assert (done.stdout.strip(), done.stderr) == ("[]", "")


def test_everything_runs_where_torch_is_not_installed(exported):
    done = python(WITHOUT_TORCH + USE, exported())
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["(3, 32) (3, 3)", "29"]


def test_its_errors_are_those_of_caan_hf():
    code = "import caan_export.runtime, caan_export.borrowed as b, caan_hf; print(b.CaanError is caan_hf.CaanError)"
    assert python(code).stdout.strip() == "True"


def test_features_are_the_models(caan, model_and_processor, pictures, sketch):
    model, processor = model_and_processor
    with torch.no_grad():
        expected = model.get_photo_features(**processor(photos=pictures))
        query = model.get_sketch_features(**processor(sketches=[sketch]))
    photos, found = caan.encode_photos(pictures, batch_size=2), caan.encode_sketches(sketch)
    for embeds in ("global_embeds", "local_embeds"):
        # The pictures themselves may differ by one grey level.
        np.testing.assert_allclose(getattr(photos, embeds), getattr(expected, embeds), atol=0.02)
        np.testing.assert_allclose(getattr(found, embeds), getattr(query, embeds), atol=0.02)
    with torch.no_grad():
        logits = model.get_relation_logits(torch.from_numpy(found.local_embeds), torch.from_numpy(photos.local_embeds))
    np.testing.assert_allclose(caan.relation_logits(found.local_embeds, photos.local_embeds), logits, atol=1e-4)


def test_a_path_stands_for_its_picture(caan, pictures, tmp_path):
    pictures[0].save(tmp_path / "a.png")
    found = caan.encode_photos(tmp_path / "a.png").global_embeds
    np.testing.assert_array_equal(found, caan.encode_photos(pictures[:1]).global_embeds)


@pytest.mark.parametrize("budget", [1, 3 * PAIR, 7 * PAIR, 10**9])
def test_relation_logits_do_not_depend_on_the_chunks(caan, monkeypatch, budget):
    generator = np.random.default_rng(0)
    sketches, photos = (generator.standard_normal((count, 16, 8)).astype(np.float32) for count in (4, 5))
    whole = caan.relation_logits(sketches, photos)
    monkeypatch.setattr(runtime, "PAIRS_BUDGET", budget)
    np.testing.assert_allclose(caan.relation_logits(sketches, photos), whole, rtol=1e-4, atol=1e-5)
    pairs = np.stack([photos[[0, 3]], photos[[1, 1]], photos[[2, 4]], photos[[4, 0]]])
    expected = np.stack([whole[0, [0, 3]], whole[1, [1, 1]], whole[2, [2, 4]], whole[3, [4, 0]]])
    np.testing.assert_allclose(caan.paired_relation_logits(sketches, pairs), expected, rtol=1e-4, atol=1e-5)


def test_no_sketches_or_no_photos_give_no_logits(caan):
    some, none = np.zeros((3, 16, 8), np.float32), np.zeros((0, 16, 8), np.float32)
    assert caan.relation_logits(some, none).shape == (3, 0)
    assert caan.relation_logits(none, some).shape == (0, 3)


def test_inputs_need_not_be_contiguous_nor_float32(caan):
    values = np.random.default_rng(0).standard_normal((8, 16, 3))
    found = caan.relation_logits(values.T[:2], values.T[:, :, :])
    expected = caan.relation_logits(*(np.ascontiguousarray(part, np.float32) for part in (values.T[:2], values.T)))
    np.testing.assert_array_equal(found, expected)
    pixels = np.random.default_rng(0).standard_normal((32, 32, 3, 2)).T
    np.testing.assert_array_equal(
        caan.encode_pixel_values("photo", pixels).global_embeds,
        caan.encode_pixel_values("photo", np.ascontiguousarray(pixels, np.float32)).global_embeds,
    )


def test_tensorrt_is_given_no_more_than_its_engines_take(caan, monkeypatch):
    pixel_values = np.random.default_rng(0).standard_normal((130, 3, 32, 32)).astype(np.float32)
    expected = caan.encode_pixel_values("photo", pixel_values)
    encoder, given = caan.branches["photo_encoder"], []
    run = encoder.run  # by the CPU, under the other's name: there is no GPU here

    def watched(inputs, outputs):
        given.append(len(inputs["pixel_values"]))
        run(inputs, outputs)

    monkeypatch.setattr(encoder, "provider", TENSORRT)
    monkeypatch.setattr(encoder, "run", watched)
    found = caan.encode_pixel_values("photo", pixel_values)
    assert given == [64, 64, 2]
    np.testing.assert_allclose(found.global_embeds, expected.global_embeds, atol=1e-5)
    np.testing.assert_allclose(found.local_embeds, expected.local_embeds, atol=1e-5)


def test_a_stream_takes_sources_as_it_goes(caan, pictures):
    taken = []

    def endless():
        while True:
            taken.append(len(taken))
            yield pictures[taken[-1] % len(pictures)]

    stream = caan.stream_photos(endless(), batch_size=3)
    first, second = next(stream), next(stream)
    stream.close()
    assert len(taken) <= 9  # two batches given, one ahead
    found = np.concatenate([first.features.global_embeds, second.features.global_embeds])
    expected = caan.encode_photos([*pictures, pictures[0]]).global_embeds
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_a_stream_may_skip_what_cannot_be_read(caan, pictures, tmp_path):
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"not a picture")
    sources = [broken, pictures[0], broken, broken, pictures[1], tmp_path / "missing.jpg"]
    batches = list(caan.stream_photos(sources, batch_size=2, on_error="skip"))
    assert [len(batch.sources) for batch in batches] == [1, 0, 1]
    assert [batch.features.global_embeds.shape for batch in batches] == [(1, 32), (0, 32), (1, 32)]
    assert [source for batch in batches for source, _ in batch.skipped] == [
        broken,
        broken,
        broken,
        tmp_path / "missing.jpg",
    ]
    assert "no such file" in batches[2].skipped[0][1]
    with pytest.raises(ValueError, match=r"broken\.jpg: not a picture"):
        list(caan.stream_photos(sources))


def test_bad_pictures_and_numbers(caan, pictures):
    with pytest.raises(ValueError, match="the sketch is blank"):
        caan.encode_sketches(Image.new("RGB", (50, 50), "white"))
    with pytest.raises(ValueError, match="there is no picture to encode"):
        caan.encode_photos([])
    with pytest.raises(ValueError, match="batch_size is 0"):
        caan.encode_photos(pictures, batch_size=0)
    with pytest.raises(ValueError, match="on_error is 'ignore'; it must be 'raise' or 'skip'"):
        next(caan.stream_photos(pictures, on_error="ignore"))
    with pytest.raises(
        ValueError, match=r"pixel_values has the shape \(1, 3, 64, 64\); this model takes \(batch, 3, 32, 32\)"
    ):
        caan.encode_pixel_values("photo", np.zeros((1, 3, 64, 64), np.float32))
    with pytest.raises(
        ValueError, match=r"photo_local_embeds has the shape \(2, 9, 8\); this model takes \(photos, 16, 8\)"
    ):
        caan.relation_logits(np.zeros((2, 16, 8), np.float32), np.zeros((2, 9, 8), np.float32))
    with pytest.raises(ValueError, match=r"each of 2 sketches has K photos of its own"):
        caan.paired_relation_logits(np.zeros((2, 16, 8)), np.zeros((3, 4, 16, 8)))


def test_a_provider_that_is_not_installed_lists_those_that_are(exported):
    with pytest.raises(CaanError, match=r"provider NoSuchProvider is not installed; there are .*CPUExecutionProvider"):
        CaanOnnx.from_pretrained(exported(), providers=["NoSuchProvider"])


def test_spinning_is_off_by_default(caan, exported):
    key = "session.intra_op.allow_spinning"
    assert caan.branches["relation"].session.get_session_options().get_session_config_entry(key) == "0"
    spinning = CaanOnnx.from_pretrained(exported(), spinning=True, threads=1)
    assert spinning.branches["relation"].session.get_session_options().get_session_config_entry(key) == "1"
    assert spinning.branches["relation"].session.get_session_options().intra_op_num_threads == 1


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (shutil.rmtree, "no such folder"),
        (
            lambda folder: (folder / "caan_export.json").unlink(),
            r"no caan_export\.json, so this is not an exported CAAN",
        ),
        (lambda folder: (folder / "caan_export.json").write_text("{"), r"caan_export\.json: damaged"),
        (lambda folder: (folder / "caan_export.json").write_text("[]"), r"caan_export\.json: damaged"),
        (lambda folder: (folder / "relation.onnx").unlink(), r"relation\.onnx missing"),
        (lambda folder: (folder / "relation.onnx").write_bytes(b"nonsense"), r"relation\.onnx: cannot be run"),
        (
            lambda folder: (folder / "preprocessing.json").write_text(
                (folder / "preprocessing.json").read_text().replace("0.5", "0.4")
            ),
            r"preprocessing\.json: altered since the export",
        ),
        (lambda folder: _change(folder, format=2), "format 2 is newer than this caan-hf knows"),
        (lambda folder: _change(folder, graphs={}), r"caan_export\.json: damaged"),
    ],
)
def test_spoilt_folders(exported, tmp_path, spoil, message):
    folder = tmp_path / "copy"
    shutil.copytree(exported(), folder)
    spoil(folder)
    with pytest.raises(CaanError, match=message) as error:
        CaanOnnx.from_pretrained(folder)
    assert "\n" not in str(error.value)


def _change(folder: Path, **fields) -> None:
    file = folder / "caan_export.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | fields))


def test_a_repository_on_the_hub_is_found_in_the_cache(exported, tmp_path):
    commit = "0" * 40
    repository = tmp_path / "hub" / "models--someone--caan-tiny"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text(commit)
    shutil.copytree(exported(), repository / "snapshots" / commit / "onnx")
    code = (
        "import os, sys; os.environ |= {'HF_HUB_OFFLINE': '1', 'HF_HOME': sys.argv[1]}\n"
        "from caan_export.runtime import CaanOnnx\n"
        "print(CaanOnnx.from_pretrained('someone/caan-tiny', subfolder='onnx').manifest.dtype)\n"
        "CaanOnnx.from_pretrained('someone/else')"
    )
    done = python(code, tmp_path)
    assert done.stdout.strip() == "fp32", done.stderr
    assert "CaanError: someone/else: no such folder, and not to be had from the Hub" in done.stderr

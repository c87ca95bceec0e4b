"""The runtime without torch, through its public methods."""

import json
import shutil
import subprocess
import sys
from collections import Counter

import numpy as np
import pytest
from bare import BareEnvironment
from caan_export import runtime
from caan_export.runtime import CaanOnnx
from caan_export.session import TENSORRT
from export_folders import record_hashes
from hub_repositories import Blob, Repository
from hub_server import HubServer
from PIL import Image
from tiny import IMAGE_SIZE

from caan_hf import load_encoder
from caan_hf.benchmarks.sample import draw_object
from caan_hf.encoding.features import Features
from caan_hf.errors import CaanError

USE = """
import sys
import numpy as np
from caan_export.runtime import CaanOnnx
encoder = CaanOnnx.from_pretrained(sys.argv[1])
features = encoder.encode([np.full((8, 9, 3), 90, np.uint8)] * 3, "photo")
print(features.global_embeds.shape, encoder.local_scores(features.local_embeds, features.local_embeds).shape)
import caan_hf
print(type(caan_hf.load_encoder(sys.argv[1])) is CaanOnnx)
from caan_export.check import check_export
print(len(check_export(sys.argv[1]).differences))
from caan_export.cli.main import app
"""
REPAIR = """
import sys
from caan_hf import CaanError, load_encoder
from caan_hf.encoding.load import model_folder

try:
    load_encoder("me/caan-tiny")
    for name in sys.argv[1:]:
        file = (model_folder("me/caan-tiny") / name).resolve()
        file.write_bytes(bytes(file.stat().st_size))
        print(load_encoder("me/caan-tiny").name)
except CaanError as error:
    print(error)
"""
PAIR = 4 * (16 * 8 + 3 * 16 * 16)  # bytes of a photo and its pair, with 16 local tokens of width 8


@pytest.fixture(scope="module")
def onnx(exported) -> CaanOnnx:
    return CaanOnnx.from_pretrained(exported())


@pytest.fixture
def pictures() -> list[Image.Image]:
    return [draw_object("tent", "photo", seed=0, index=index, image_size=48 + index) for index in range(5)]


def python(code: str, *arguments) -> subprocess.CompletedProcess:
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)


def test_importing_the_runtime_imports_no_heavy_package():
    heavy = '{"torch", "transformers", "torchvision", "timm", "datasets", "onnx", "huggingface_hub", "typer"}'
    done = python(f"import sys, caan_export.runtime; print(sorted({heavy} & set(sys.modules)))")
    assert (done.stdout.strip(), done.stderr) == ("[]", "")


@pytest.mark.parametrize("local_matching", ["relation", "late_interaction"])
def test_everything_but_the_export_runs_with_the_extra_runtime(exported, late_exported, local_matching, tmp_path):
    folder = exported() if local_matching == "relation" else late_exported()
    done = BareEnvironment(tmp_path, "runtime").run("-c", USE, folder)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["(3, 32) (3, 3)", "True", "29"]


def test_an_export_is_recognised_in_a_clone_that_is_not_installed(late_exported, tmp_path):
    environment = BareEnvironment(tmp_path, "runtime")
    for information in tmp_path.glob("caan_hf-*.dist-info"):  # which lists the entry points
        information.unlink()
    done = environment.run("-c", "import sys, caan_hf; print(caan_hf.load_encoder(sys.argv[1]).kind)", late_exported())
    assert done.stdout == "ONNX export\n", done.stderr


def test_features_and_logits_equal_those_of_the_checkpoint(onnx, encoder, pictures, sketch):
    for given, modality in ((pictures, "photo"), (sketch, "sketch")):
        found = onnx.encode(given, modality, batch_size=2)
        expected = encoder.encode(given, modality)
        # The resized pictures may differ by one grey level.
        np.testing.assert_allclose(found.global_embeds, expected.global_embeds, atol=0.02)
        np.testing.assert_allclose(found.local_embeds, expected.local_embeds, atol=0.02)
    np.testing.assert_array_equal(onnx.encode_sketches(sketch), found.global_embeds)
    photos = onnx.encode(pictures, "photo")
    np.testing.assert_array_equal(onnx.encode_photos(pictures), photos.global_embeds)
    logits = encoder.local_scores(found.local_embeds, photos.local_embeds)
    np.testing.assert_allclose(onnx.local_scores(found.local_embeds, photos.local_embeds), logits, atol=1e-4)


def test_an_export_has_the_identity_of_its_checkpoint(onnx, exported, encoder, tied_checkpoint):
    assert encoder.identity.difference(onnx.identity) is None
    assert onnx.identity == encoder.identity
    assert load_encoder(exported()).name == str(exported())
    int8, tied = CaanOnnx.from_pretrained(exported("int8")), load_encoder(tied_checkpoint, device="cpu")
    assert tied.identity.difference(int8.identity) is None
    assert int8.identity.precision == "int8"
    assert encoder.identity.difference(int8.identity) == "other weights"


@pytest.mark.parametrize("budget", [1, 3 * PAIR, 7 * PAIR, 10**9])
def test_relation_logits_do_not_depend_on_the_chunks(onnx, monkeypatch, budget):
    generator = np.random.default_rng(0)
    sketches, photos = (generator.standard_normal((count, 16, 8)).astype(np.float32) for count in (4, 5))
    whole = onnx.local_scores(sketches, photos)
    monkeypatch.setattr(runtime, "MAX_CHUNK_BYTES", budget)
    np.testing.assert_allclose(onnx.local_scores(sketches, photos), whole, rtol=1e-4, atol=1e-5)
    pairs = np.stack([photos[[0, 3]], photos[[1, 1]], photos[[2, 4]], photos[[4, 0]]])
    expected = np.stack([whole[0, [0, 3]], whole[1, [1, 1]], whole[2, [2, 4]], whole[3, [4, 0]]])
    np.testing.assert_allclose(onnx.paired_local_scores(sketches, pairs), expected, rtol=1e-4, atol=1e-5)
    assert onnx.local_scores(sketches, photos[:0]).shape == (4, 0)
    assert onnx.local_scores(sketches[:0], photos).shape == (0, 5)


def test_inputs_of_any_memory_layout_and_type_are_accepted(onnx):
    values = np.random.default_rng(0).standard_normal((8, 16, 3))
    found = onnx.local_scores(values.T[:2], values.T)
    expected = onnx.local_scores(*(np.ascontiguousarray(part, np.float32) for part in (values.T[:2], values.T)))
    np.testing.assert_array_equal(found, expected)
    pixels = np.random.default_rng(0).standard_normal((32, 32, 3, 2)).T
    np.testing.assert_array_equal(
        onnx.encode_prepared(pixels, "photo").global_embeds,
        onnx.encode_prepared(np.ascontiguousarray(pixels, np.float32), "photo").global_embeds,
    )


def test_batches_above_the_limit_of_tensorrt_are_split(onnx, monkeypatch):
    pixel_values = np.random.default_rng(0).standard_normal((130, 3, 32, 32)).astype(np.float32)
    expected = onnx.encode_prepared(pixel_values, "photo")
    session, sizes = onnx.sessions["photo_encoder"], []
    run = session.run  # on the CPU, because there is no GPU

    def recording_run(inputs, outputs):
        sizes.append(len(inputs["pixel_values"]))
        run(inputs, outputs)

    monkeypatch.setattr(session, "provider", TENSORRT)
    monkeypatch.setattr(session, "run", recording_run)
    found = onnx.encode_prepared(pixel_values, "photo")
    assert sizes == [64, 64, 2]
    np.testing.assert_allclose(found.global_embeds, expected.global_embeds, atol=1e-5)
    np.testing.assert_allclose(found.local_embeds, expected.local_embeds, atol=1e-5)


@pytest.mark.parametrize("dtype", ["fp32", "int8"])
def test_batches_of_any_size_give_the_features_of_each_picture(exported, dtype):
    encoder = CaanOnnx.from_pretrained(exported(dtype), ["cpu"])
    pixel_values = np.random.default_rng(0).standard_normal((19, 3, 32, 32), dtype=np.float32)
    pixel_values[1:] *= 100  # if int8 had one scale for the batch, the first picture would become 0
    together = encoder.encode_prepared(pixel_values, "photo")
    alone = Features.joined([encoder.encode_prepared(one[None], "photo") for one in pixel_values])
    np.testing.assert_allclose(together.global_embeds, alone.global_embeds, atol=1e-5)
    np.testing.assert_allclose(together.local_embeds, alone.local_embeds, atol=1e-5)
    assert encoder.encode_prepared(pixel_values[:0], "photo").global_embeds.shape == (0, encoder.identity.global_dim)


def test_inputs_of_another_shape_are_errors(onnx):
    with pytest.raises(ValueError, match=r"pixel_values .*\(batch, 3, 32, 32\), got \(1, 3, 64, 64\)"):
        onnx.encode_prepared(np.zeros((1, 3, 64, 64), np.float32), "photo")
    with pytest.raises(ValueError, match=r"photo_local_embeds .*\(photos, 16, 8\), got \(2, 9, 8\)"):
        onnx.local_scores(np.zeros((2, 16, 8), np.float32), np.zeros((2, 9, 8), np.float32))
    with pytest.raises(ValueError, match=r"photo_local .*\(2, K, M, R\).* got \(3, 4, 16, 8\)"):
        onnx.paired_local_scores(np.zeros((2, 16, 8)), np.zeros((3, 4, 16, 8)))


def test_spinning_is_off_by_default(onnx, exported):
    key = "session.intra_op.allow_spinning"
    options = onnx.sessions["relation"].session.get_session_options()
    assert options.get_session_config_entry(key) == "0"
    spinning = CaanOnnx.from_pretrained(exported(), spinning=True, threads=1)
    options = spinning.sessions["relation"].session.get_session_options()
    assert options.get_session_config_entry(key) == "1"
    assert options.intra_op_num_threads == 1


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (shutil.rmtree, "no such folder"),
        (lambda folder: (folder / "caan_export.json").unlink(), r"no caan_export\.json.*not an exported CAAN"),
        (lambda folder: (folder / "relation.onnx").unlink(), r"relation\.onnx missing"),
        (lambda folder: (folder / "relation.onnx").write_bytes(b"nonsense"), r"relation\.onnx changed since"),
        (lambda folder: (folder / "preprocessing.json").write_bytes(b"{}"), r"preprocessing\.json changed since"),
    ],
)
def test_a_damaged_folder_is_an_error_of_one_line(exported, tmp_path, damage, message):
    folder = shutil.copytree(exported(), tmp_path / "copy")
    damage(folder)
    with pytest.raises(CaanError, match=message) as error:
        CaanOnnx.from_pretrained(folder)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("change", [{"size": [IMAGE_SIZE, 5]}, {"size": IMAGE_SIZE}, {"crop": [5, 5]}], ids=str)
def test_pictures_of_another_size_than_the_graphs_take_are_refused(exported, tmp_path, change):
    folder = shutil.copytree(exported(), tmp_path / "copy")
    file = folder / "preprocessing.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **change}))
    record_hashes(folder)
    with pytest.raises(CaanError, match=r"preprocessing\.json: .*pixels.*Export the checkpoint again"):
        CaanOnnx.from_pretrained(folder)


def test_an_export_on_the_hub_is_read_from_the_cache(exported, tmp_path):
    commit = "0" * 40
    repository = tmp_path / "hub" / "models--someone--caan-tiny"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text(commit)
    shutil.copytree(exported(), repository / "snapshots" / commit / "onnx")
    code = (
        "import os, sys; os.environ |= {'HF_HUB_OFFLINE': '1', 'HF_HOME': sys.argv[1]}\n"
        "from caan_export.runtime import CaanOnnx\n"
        "encoder = CaanOnnx.from_pretrained('someone/caan-tiny', subfolder='onnx')\n"
        "print(encoder.name, encoder.export.manifest.dtype)\n"
        "CaanOnnx.from_pretrained('someone/else')"
    )
    done = python(code, tmp_path)
    assert done.stdout.strip() == "someone/caan-tiny fp32", done.stderr
    assert "CaanError: someone/else: " in done.stderr


@pytest.fixture
def hub(exported):
    """A Hub server with the repository me/caan-tiny, which holds an export."""
    with HubServer() as server:
        server.repositories["model", "me/caan-tiny"] = repository = Repository("model", "me/caan-tiny")
        repository.commit("main", "export", server.store(exported()))
        yield server


def open_from_hub(hub, home, script=REPAIR, *arguments, **environment) -> list[str]:
    """The lines that a script prints in a fresh process, in which they must be everything."""
    done = subprocess.run(
        [sys.executable, "-c", script, *arguments],
        env=hub.client_environment(home) | environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def downloads(hub) -> Counter:
    """How often each file was downloaded."""
    return Counter(path.rpartition("/")[2] for method, path in hub.requests if method == "GET" and "/resolve/" in path)


def test_files_damaged_in_the_cache_of_the_hub_are_downloaded_once_more(hub, tmp_path):
    names = ["preprocessing.json", "relation.onnx", "caan_export.json"]
    assert open_from_hub(hub, tmp_path, REPAIR, *names) == ["me/caan-tiny"] * 3
    assert {name: count for name, count in downloads(hub).items() if count > 1} == dict.fromkeys(names, 2)


def test_a_file_damaged_in_the_cache_is_named_without_a_connection(hub, tmp_path):
    open_from_hub(hub, tmp_path)
    offline = {"HF_HUB_OFFLINE": "1"}
    lines = open_from_hub(hub, tmp_path, REPAIR, "relation.onnx", **offline)
    assert len(lines) == 1
    assert "me/caan-tiny: relation.onnx damaged in the cache" in lines[0]


def test_a_file_damaged_on_the_hub_is_an_error_after_a_second_download(hub, tmp_path):
    repository = hub.repository("me/caan-tiny")
    repository.commit("main", "damaged", repository.find("main").files | {"relation.onnx": Blob(b"nonsense")})
    lines = open_from_hub(hub, tmp_path)
    assert len(lines) == 1
    assert "relation.onnx changed" in lines[0]
    assert downloads(hub)["relation.onnx"] == 2


@pytest.mark.parametrize(
    ("path", "fault", "message"),
    [
        ("^/api/models/me/caan-tiny", {"cut": 10}, "cannot be reached"),
        ("/resolve/.*/relation.onnx", {"status": 503, "headers": {}}, "HTTP 503"),
    ],
)
def test_a_failed_download_is_an_error_of_one_line(hub, tmp_path, path, fault, message):
    hub.fail("GET", path, **fault)
    lines = open_from_hub(hub, tmp_path)
    assert len(lines) == 1
    assert lines[0].startswith("me/caan-tiny: ")
    assert message in lines[0]


@pytest.mark.slow
def test_a_gallery_is_indexed_searched_and_explained_without_torch(late_exported, tmp_path):
    (tmp_path / "photos").mkdir()
    for index, category in enumerate(("tent", "mug")):
        draw_object(category, "photo", seed=0, index=index, image_size=48).save(tmp_path / "photos" / f"{category}.png")
    draw_object("tent", "sketch", seed=1, index=0).save(tmp_path / "sketch.png")
    (tmp_path / "bare").mkdir()
    environment = BareEnvironment(tmp_path / "bare", "gallery", "runtime")
    for words in (
        ["index", "photos", "gallery", "--model", late_exported()],
        ["search", "gallery", "sketch.png", "-k", "2", "--explain"],
    ):
        done = environment.run("-m", "caan_hf.cli.main", *words, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
    assert "tent.png" in done.stdout and "mug.png" in done.stdout

"""`caan-hub push-dataset`: the result of `load_dataset` after a push, and what is not pushed."""

import json
import shutil

import pytest
from datasets import load_from_disk
from huggingface_hub import DatasetCard

from caan_hf.benchmarks import PrepareOptions, load_benchmark, prepare_benchmark
from caan_hf.benchmarks.sample import draw_object

pytestmark = pytest.mark.slow

LOAD = """
import sys
from datasets import load_dataset
benchmark = load_dataset(sys.argv[1])
benchmark.save_to_disk(sys.argv[2] + "/benchmark")
load_dataset(sys.argv[1], "descriptions").save_to_disk(sys.argv[2] + "/descriptions")
print(next(iter(load_dataset(sys.argv[1], split="test", streaming=True)))["category"])
"""


def load(client, tmp_path, repo_id="me/sketches"):
    client.python(LOAD, repo_id, tmp_path, HF_HOME=str(tmp_path / "home"), token=None)
    return load_from_disk(tmp_path / "benchmark"), load_from_disk(tmp_path / "descriptions")


@pytest.fixture
def restricted(benchmark, tmp_path):
    """The drawn benchmark with Sketchy's protocol."""
    folder = tmp_path / "sketchy"
    shutil.copytree(benchmark, folder)
    info = json.loads((folder / "benchmark.json").read_text())
    (folder / "benchmark.json").write_text(json.dumps(info | {"protocol": "sketchy-25@1"}))
    return folder


def test_a_pushed_benchmark_is_loaded_as_it_was_prepared(client, server, benchmark, tmp_path):
    status, printed = client.hub("push-dataset", benchmark, "me/sketches")
    assert status == 0, printed
    assert "no changes" in client.hub("push-dataset", benchmark, "me/sketches")[1]
    loaded, texts = load(client, tmp_path)

    original, info = load_benchmark(benchmark)
    assert list(loaded) == ["train", "validation", "test"]
    for name, split in original.items():
        assert loaded[name].features == split.features
        assert loaded[name].with_format("arrow")[:].to_pylist() == split.with_format("arrow")[:].to_pylist()
    names = texts["test"].features["category"].names
    described = {(names[row["category"]], row["text"]) for row in texts["test"]}
    assert {category for category, _ in described} == set(info.unseen)
    assert all(text in original["test"][0]["descriptions"] for name, text in described if name == names[0])
    card = DatasetCard(server.repository("me/sketches", "dataset").files()["README.md"].decode())
    assert card.data.license == "apache-2.0"
    counts = info.counts.test
    assert f"| `test` | {len(info.unseen)} | {counts.sketch} | {counts.photo} |" in card.text


def test_the_card_says_which_data_sets_were_mixed(client, server, benchmark, tmp_path):
    folder = tmp_path / "mixed"
    shutil.copytree(benchmark, folder)
    info = json.loads((folder / "benchmark.json").read_text())
    origin = {"name": "pool", "modality": "photo", "categories": 3, "images": 1200, "training": 1100, "duplicates": 7}
    mixed = {"added": ["pool"], "origins": [*info["origins"], origin], "only_photos": ["a", "b"]}
    (folder / "benchmark.json").write_text(json.dumps(info | mixed))
    assert client.hub("push-dataset", folder, "me/sketches")[0] == 0
    card = server.repository("me/sketches", "dataset").files()["README.md"].decode()
    assert "| pool | photo | 3 | 1,200 | 1,100 | 7 |\n" in card
    assert "only sketches, 2 only photos" in card
    assert "| `origin` |" in card


def test_restricted_photos_are_pushed_only_on_request(client, server, restricted, tmp_path):
    status, printed = client.hub("push-dataset", restricted, "me/sketches")
    assert status == 2
    assert "--without-images" in printed
    assert "right to share" in printed
    assert not server.repositories

    assert client.hub("push-dataset", restricted, "me/sketches", "--images")[0] == 0
    repository = server.repository("me/sketches", "dataset")
    assert "Check the license" in repository.files()["README.md"].decode()
    with_images = sum(map(len, repository.files().values()))
    status, printed = client.hub("push-dataset", restricted, "me/sketches", "--without-images")
    assert status == 0, printed
    assert sum(map(len, repository.files().values())) < with_images
    card = repository.files()["README.md"].decode()
    assert "No images are in this repository" in card
    assert not any(b"PNG" in content for content in repository.files().values())
    loaded, _ = load(client, tmp_path)
    original, _ = load_benchmark(restricted)
    for name, split in original.items():
        assert "image" not in loaded[name].features
        assert loaded[name]["source"][:] == split["source"][:]
        assert loaded[name]["category"][:] == split["category"][:]


def test_referenced_images_are_embedded_in_the_push(client, server, tmp_path):
    for category in ("cup", "car", "cat"):
        for modality, name in (("sketch", "sketches"), ("photo", "photos")):
            place = tmp_path / "raw" / name / category
            place.mkdir(parents=True)
            draw_object("car", modality, seed=0, index=0, image_size=32).save(place / "0.png")
    (tmp_path / "raw" / "unseen.txt").write_text("cat\n")
    prepare_benchmark("folder", tmp_path / "raw", tmp_path / "data", PrepareOptions(embed=False, progress=False))
    out = tmp_path / "out"
    words = ["push-dataset", tmp_path / "data", "me/mine", "--dry-run", "--out", out]
    status, printed = client.hub(*words)
    assert status == 0, printed
    shard = (out / "data" / "test-00000-of-00001.parquet").read_bytes()
    assert b"PNG" in shard
    assert str(tmp_path).encode() not in shard
    assert not (out / "data" / "validation-00000-of-00001.parquet").read_bytes().count(b"PNG")  # an empty split

    shutil.rmtree(tmp_path / "raw")
    shutil.rmtree(out)
    status, printed = client.hub(*words)
    assert (status, "cannot be read" in printed) == (2, True), printed
    assert not out.exists()

"""`caan index` and `caan search` as a user types them."""

import io
import json

import pytest
from photos import draw_photo, save_checkpoint
from PIL import Image, ImageDraw
from typer.testing import CliRunner

from caan_hf import CaanError
from caan_hf.cli.main import app


def run(*arguments, stdin=None):
    return CliRunner().invoke(app, [str(argument) for argument in arguments], input=stdin, catch_exceptions=False)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    return save_checkpoint(tmp_path_factory.mktemp("run") / "model")


@pytest.fixture(scope="module")
def indexed(tmp_path_factory, checkpoint):
    """(folder of photos, gallery, output of indexing)."""
    folder = tmp_path_factory.mktemp("indexed")
    (folder / "photos").mkdir()
    for number in range(12):
        draw_photo(number).save(folder / "photos" / f"{number:02}.png")
    (folder / "photos" / "damaged.jpg").write_bytes(b"no picture")
    (folder / "photos" / "notes.txt").touch()
    done = run("index", checkpoint, folder / "photos", folder / "gallery", "--device", "cpu")
    assert done.exit_code == 0
    return folder / "photos", folder / "gallery", done.output


@pytest.fixture
def sketch_file(tmp_path):
    image = Image.new("RGB", (100, 80), "white")
    ImageDraw.Draw(image).polygon([(20, 60), (40, 20), (60, 60)], outline="black", width=3)
    image.save(tmp_path / "sketch.png")
    return tmp_path / "sketch.png"


def test_indexing_says_what_it_did(indexed, checkpoint):
    photos, gallery, said = indexed
    assert f"12 photos in {gallery}: 12 added" in said
    assert "photos/s" in said
    assert f"1 skipped, not a picture, or damaged: {photos / 'damaged.jpg'}" in said
    assert "1 files that are no pictures were passed over" in said
    again = run("index", checkpoint, photos, gallery, "--device", "cpu", "--quiet")
    assert "12 unchanged" in again.output


def test_searching_prints_a_line_a_photo(indexed, sketch_file):
    done = run("search", indexed[1], sketch_file, "-k", 3)
    assert done.exit_code == 0
    lines = done.stdout.splitlines()
    assert lines[0].split() == ["rank", "score", "photo"]
    assert len(lines) == 4
    rank, score, path = lines[1].split()
    assert (rank, path.startswith(str(indexed[0]))) == ("1", True)
    assert -1 <= float(score) <= 1


def test_json_holds_everything(indexed, sketch_file):
    done = run("search", indexed[1], sketch_file, "-k", 4, "--rerank", "--explain", "--json")
    document = json.loads(done.stdout)
    assert [result["rank"] for result in document["results"]] == [1, 2, 3, 4]
    assert all(0 <= result["relation_score"] <= 1 for result in document["results"])
    assert document["results"][0]["matches"][0].keys() == {"sketch_box", "photo_box", "score"}
    assert "matches" not in document["results"][3]
    assert document["seconds"].keys() == {"encode", "search"}


def test_looking_again_with_the_first_photos(indexed, sketch_file):
    once, again = (
        json.loads(run("search", indexed[1], sketch_file, "--json", *options).stdout)["results"]
        for options in ((), ("--expand", 3))
    )
    assert len(again) == len(once)
    assert [result["score"] for result in again] != [result["score"] for result in once]


def test_the_sketch_from_standard_input(indexed, sketch_file):
    from_file = json.loads(run("search", indexed[1], sketch_file, "--json").stdout)["results"]
    from_input = json.loads(run("search", indexed[1], "-", "--json", stdin=sketch_file.read_bytes()).stdout)["results"]
    assert from_input == from_file
    strokes = json.dumps({"drawing": [[[0, 90, 40, 0], [0, 0, 80, 0]]]}).encode()
    assert json.loads(run("search", indexed[1], "-", "--json", stdin=strokes).stdout)["results"]


def test_results_are_drawn(indexed, sketch_file, tmp_path):
    plain, explained = tmp_path / "plain.png", tmp_path / "explained.png"
    assert run("search", indexed[1], sketch_file, "--out", plain).exit_code == 0
    assert run("search", indexed[1], sketch_file, "--out", explained, "--explain", "-k", 7).exit_code == 0
    assert run("search", indexed[1], sketch_file, "--out", tmp_path / "plain.jpg").exit_code == 0
    assert Image.open(tmp_path / "plain.jpg").format == "JPEG"
    small, large = Image.open(plain), Image.open(explained)
    assert small.format == large.format == "PNG"
    assert large.height > small.height + 3 * 384
    assert len(set(small.convert("L").resize((64, 32)).tobytes())) > 20  # photos, not empty frames


def test_explain_alone_draws_where_one_looks(indexed, sketch_file, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run("search", indexed[1], sketch_file, "--explain").exit_code == 0
    assert (tmp_path / "results.png").is_file()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("nowhere", "sketch.png"), "nowhere: no gallery there"),
        (("GALLERY", "nothing.png"), "nothing.png: cannot be read"),
        (("GALLERY", "SKETCH", "--out", "no/folder/a.png"), "no/folder/a.png: no folder"),
        (("GALLERY", "SKETCH", "--out", "results.gif"), "results.gif: name a picture to be written, such as"),
        (("GALLERY", "SKETCH", "--out", "tests"), "tests: name a picture to be written, such as"),
        (("GALLERY", "SKETCH", "--model", "nowhere"), "nowhere: no such folder"),
        (("GALLERY", "SKETCH", "--device", "nonsense"), "--device nonsense: not usable here"),
    ],
)
def test_bad_input_is_one_line(indexed, sketch_file, arguments, message):
    filled = [{"GALLERY": indexed[1], "SKETCH": sketch_file}.get(argument, argument) for argument in arguments]
    with pytest.raises(CaanError, match=message) as error:
        run("search", *filled)
    assert "\n" not in str(error.value)


def test_bad_photos_and_models(indexed, checkpoint, tmp_path):
    with pytest.raises(CaanError, match="nowhere: no such folder"):
        run("index", "nowhere", indexed[0], tmp_path / "gallery")
    with pytest.raises(CaanError, match="no such folder, list of photos or dataset"):
        run("index", checkpoint, "no-photos", tmp_path / "gallery")
    assert not (tmp_path / "gallery").exists()
    with pytest.raises(CaanError, match="--split test is of a dataset"):
        run("index", checkpoint, indexed[0], tmp_path / "gallery", "--split", "test")
    with pytest.raises(CaanError, match="holds something other than a gallery"):
        run("index", checkpoint, indexed[0], indexed[0])


def test_a_gallery_that_never_held_a_photo_is_nobodys(indexed, checkpoint, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(CaanError, match="no photo found"):
        run("index", checkpoint, tmp_path / "empty", tmp_path / "gallery")
    other = save_checkpoint(tmp_path / "other", seed=1)
    assert run("index", other, indexed[0], tmp_path / "gallery", "--device", "cpu").exit_code == 0
    with pytest.raises(CaanError, match="weights are not those of"):
        run("index", checkpoint, indexed[0], tmp_path / "gallery")


def test_what_was_decided_when_the_gallery_was_made_is_told_to_whoever_asks_otherwise(indexed, checkpoint, tmp_path):
    gallery = tmp_path / "gallery"
    run("index", checkpoint, indexed[0], gallery, "--no-local", "--device", "cpu")
    assert "local embeddings" not in run("index", checkpoint, indexed[0], gallery, "--device", "cpu").output
    again = run("index", checkpoint, indexed[0], gallery, "--local", "--device", "cpu")
    assert "does not keep local embeddings" in again.output


def test_without_a_model_the_default_one_is_taken(indexed, checkpoint, tmp_path, monkeypatch):
    from caan_hf.gallery import default_model

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(default_model, "NAME", "ours")
    monkeypatch.setattr(default_model, "HUB_ID", "./not-on-the-hub")
    with pytest.raises(CaanError, match="no model at hand"):
        run("index", indexed[0], "gallery")
    (tmp_path / "hub").mkdir()
    (tmp_path / "hub" / "ours").symlink_to(checkpoint)
    assert "12 added" in run("index", indexed[0], "gallery", "--device", "cpu").output
    with pytest.raises(CaanError, match=r"give \[MODEL\] PHOTOS GALLERY, not 1 words"):
        run("index", "gallery")


def test_an_empty_standard_input(indexed):
    with pytest.raises(CaanError, match="the sketch: empty"):
        run("search", indexed[1], "-", stdin=io.BytesIO(b"").read())


@pytest.mark.parametrize(
    ("command", "example"), [("index", "caan index ~/Pictures"), ("search", "caan search my_gallery")]
)
def test_help_shows_examples(command, example):
    done = run(command, "--help")
    assert done.exit_code == 0
    assert example in done.output

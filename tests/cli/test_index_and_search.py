"""`caan index` and `caan search` on the command line."""

import json
import re
import shutil

import pytest
from photos import draw_photo, save_checkpoint
from PIL import Image
from typer.testing import CliRunner

from caan_hf import CaanError
from caan_hf.cli.index import resumable
from caan_hf.cli.main import app
from caan_hf.gallery import Gallery


def run(*arguments, stdin=None):
    return CliRunner().invoke(app, [str(argument) for argument in arguments], input=stdin, catch_exceptions=False)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    return save_checkpoint(tmp_path_factory.mktemp("run") / "model")


@pytest.fixture(scope="module")
def indexed(tmp_path_factory, checkpoint):
    """(folder of photos, gallery, output of `caan index`)."""
    folder = tmp_path_factory.mktemp("indexed")
    (folder / "photos").mkdir()
    for number in range(12):
        draw_photo(number).save(folder / "photos" / f"{number:02}.png")
    (folder / "photos" / "damaged.jpg").write_bytes(b"no picture")
    (folder / "photos" / "notes.txt").touch()
    done = run("index", folder / "photos", folder / "gallery", "--model", checkpoint, "--device", "cpu")
    assert done.exit_code == 0
    return folder / "photos", folder / "gallery", done.output


@pytest.fixture
def sketch_file(sketch, tmp_path):
    sketch.save(tmp_path / "sketch.png")
    return tmp_path / "sketch.png"


def test_indexing_prints_a_summary(indexed, checkpoint):
    photos, gallery, output = indexed
    assert f"12 photos in {gallery}: 12 new, 1 skipped" in output
    assert "photos/s" in output
    assert f"1 skipped (not an image, or damaged): {photos / 'damaged.jpg'}" in output
    assert "1 other file skipped" in output
    again = run("index", photos, gallery, "--model", checkpoint, "--device", "cpu", "--quiet")
    assert "12 unchanged" in again.output


def test_the_summary_tells_what_happened_to_the_photos(indexed, checkpoint, tmp_path):
    photos, gallery = tmp_path / "moved", tmp_path / "gallery"
    shutil.copytree(indexed[0], tmp_path / "photos")
    index = ["--model", checkpoint, "--device", "cpu", "--quiet"]
    run("index", tmp_path / "photos", gallery, *index)
    (tmp_path / "photos").rename(photos)
    (photos / "00.png").unlink()
    shutil.copy(photos / "01.png", photos / "copy.png")
    draw_photo(99).save(photos / "new.png")
    (photos / "@eaDir").mkdir()
    output = run("index", photos, gallery, *index, "--copy").output
    assert f"14 photos in {gallery}: 1 new, 11 moved, 1 copy, 1 skipped" in output
    assert re.search(rf"1 kept.* {tmp_path}/photos is not there.*--forget", output)
    assert f"1 folder skipped: {photos}/@eaDir" in output
    assert "13 of 14 photos have a copy of their file" in output
    assert re.search(r"freed [0-9.]+ kB", output)
    (photos / "02.png").unlink()
    output = run("index", photos, gallery, *index).output
    assert re.search(rf"12 unchanged, 1 gone, 1 skipped.*1 gone.*--prune.*: {photos}/02.png", output, re.DOTALL)
    output = run("index", photos, gallery, *index, "--prune", "--forget", tmp_path / "photos").output
    assert re.search(rf"1 gone, 1 forgotten.*1 gone.* removed .*: {photos}/02.png", output, re.DOTALL)


def test_a_smoothed_gallery_says_so_and_is_searched(indexed, checkpoint, sketch_file, tmp_path):
    index = ["index", indexed[0], tmp_path / "gallery", "--model", checkpoint, "--device", "cpu", "--quiet"]
    for more in (["--smooth", 3], []):
        assert "its 3 nearest photos (--smooth)" in run(*index, *more).output
    found = [
        json.loads(run("search", tmp_path / "gallery", sketch_file, "--json", *more).stdout)["results"]
        for more in ([], ["--plain"])
    ]
    assert len(found[0]) == len(found[1]) == 10
    assert [one["score"] for one in found[0]] != [one["score"] for one in found[1]]
    assert "nearest" not in run(*index, "--smooth", 0).output
    assert "its 6 nearest photos (--smooth)" in run(*index, "--smooth", 50).output  # half of the photos


def test_an_interrupted_call_says_what_it_has_kept(indexed, checkpoint, tmp_path, capsys):
    gallery = Gallery.create(tmp_path / "gallery", model=checkpoint, device="cpu")

    def interrupt(steps, *, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), resumable(gallery):
        gallery.add(indexed[0], batch_size=5, progress=interrupt)
    assert f"{gallery.table.uri} holds 5 photos. Run the same command again" in capsys.readouterr().err


def test_photos_and_gallery_in_the_wrong_order_are_recognised(indexed, sketch_file):
    with pytest.raises(CaanError, match=r"is a gallery.*caan index PHOTOS GALLERY"):
        run("index", indexed[1], indexed[0])
    with pytest.raises(CaanError, match=r"is a gallery.*caan search GALLERY SKETCH"):
        run("search", sketch_file, indexed[1])


def test_results_are_printed_also_where_they_cannot_be_drawn(indexed, sketch_file, capsys):
    with pytest.raises(CaanError, match=r"/proc/out\.png: cannot be written"):
        app(["search", str(indexed[1]), str(sketch_file), "--out", "/proc/out.png"], standalone_mode=False)
    assert capsys.readouterr().out.startswith("rank ")


def test_searching_prints_one_line_per_result(indexed, sketch_file):
    done = run("search", indexed[1], sketch_file, "-k", 3, "--no-rerank")
    assert done.exit_code == 0
    lines = done.stdout.splitlines()
    assert lines[0].split() == ["rank", "score", "photo"]
    assert len(lines) == 4
    rank, score, path = lines[1].split()
    assert (rank, path.startswith(str(indexed[0]))) == ("1", True)
    assert -1 <= float(score) <= 1


@pytest.mark.parametrize("options", [(), ("--rerank",)], ids=["by default", "asked for"])
def test_reranking_prints_the_scores_that_order_the_results(indexed, sketch_file, options):
    header, *lines = run("search", indexed[1], sketch_file, *options).stdout.splitlines()
    assert header.split() == ["rank", "score", "local", "fused", "photo"]
    fused = [float(line.split()[3]) for line in lines]
    assert fused == sorted(fused, reverse=True)


def test_json_holds_results_matches_and_times(indexed, sketch_file):
    done = run("search", indexed[1], sketch_file, "-k", 4, "--explain", "--json")
    document = json.loads(done.stdout)
    assert [result["rank"] for result in document["results"]] == [1, 2, 3, 4]
    fused = [result["fused_score"] for result in document["results"]]
    assert fused == sorted(fused, reverse=True)
    assert fused == pytest.approx([(one["score"] + one["local_score"]) / 2 for one in document["results"]], abs=1e-5)
    assert document["results"][0]["matches"][0].keys() == {"sketch_box", "photo_box", "share"}
    assert "matches" not in document["results"][3]
    assert document["seconds"].keys() == {"encode", "search"}


def test_expansion_changes_the_scores(indexed, sketch_file):
    once, again = (
        json.loads(run("search", indexed[1], sketch_file, "--json", *options).stdout)["results"]
        for options in ((), ("--expand", 3))
    )
    assert len(again) == len(once)
    assert [result["score"] for result in again] != [result["score"] for result in once]


def test_photos_like_a_photo_are_found_and_drawn(indexed, tmp_path):
    photo = indexed[0] / "03.png"
    done = run("search", indexed[1], photo, "--photo", "-k", 4, "--json", "--out", tmp_path / "like.png")
    results = json.loads(done.stdout)["results"]
    assert len(results) == 4
    assert str(photo) not in [result["path"] for result in results]
    assert Image.open(tmp_path / "like.png").width > 300
    for wrong in ("--explain", "--rerank"):
        with pytest.raises(CaanError, match=f"--photo and {wrong}|{wrong} and --photo"):
            run("search", indexed[1], photo, "--photo", wrong)
    with pytest.raises(CaanError, match=r"sketch\.txt"):
        run("search", indexed[1], tmp_path / "sketch.txt", "--photo")


def test_results_that_no_longer_exist_are_named(indexed, checkpoint, sketch_file, tmp_path):
    shutil.copytree(indexed[0], tmp_path / "photos")
    run("index", tmp_path / "photos", tmp_path / "gallery", "--model", checkpoint, "--device", "cpu", "--quiet")
    (tmp_path / "photos" / "05.png").unlink()
    done = run("search", tmp_path / "gallery", sketch_file, "-k", 12)
    assert re.search(r"1 of the results no longer exist.*05\.png.*--prune", done.stderr)
    assert len(done.stdout.splitlines()) == 13


def test_the_sketch_may_come_from_standard_input(indexed, sketch_file):
    from_file = json.loads(run("search", indexed[1], sketch_file, "--json").stdout)["results"]
    from_input = json.loads(run("search", indexed[1], "-", "--json", stdin=sketch_file.read_bytes()).stdout)["results"]
    assert from_input == from_file
    strokes = json.dumps({"drawing": [[[0, 90, 40, 0], [0, 0, 80, 0]]]}).encode()
    assert json.loads(run("search", indexed[1], "-", "--json", stdin=strokes).stdout)["results"]


def test_results_are_drawn_into_a_file(indexed, sketch_file, tmp_path):
    plain, explained = tmp_path / "plain.png", tmp_path / "explained.png"
    assert run("search", indexed[1], sketch_file, "--out", plain).exit_code == 0
    assert run("search", indexed[1], sketch_file, "--out", explained, "--explain", "-k", 7).exit_code == 0
    assert run("search", indexed[1], sketch_file, "--out", tmp_path / "plain.jpg").exit_code == 0
    assert Image.open(tmp_path / "plain.jpg").format == "JPEG"
    small, large = Image.open(plain), Image.open(explained)
    assert small.format == large.format == "PNG"
    assert large.height > small.height + 3 * 384
    assert len(set(small.convert("L").resize((64, 32)).tobytes())) > 20  # photos, not empty frames


def test_explain_draws_results_png_by_default(indexed, sketch_file, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run("search", indexed[1], sketch_file, "--explain").exit_code == 0
    assert (tmp_path / "results.png").is_file()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("nowhere", "sketch.png"), "nowhere: there is no gallery"),
        (("GALLERY", "nothing.png"), "nothing.png: no such file"),
        (("GALLERY", "tests"), "tests: is a folder. Give a picture"),
        (("GALLERY", "https://example.org/cup.png"), "cup.png: drawings are not downloaded"),
        (("GALLERY", "SKETCH", "--out", "no/folder/a.png"), "no/folder/a.png: there is no folder"),
        (("GALLERY", "SKETCH", "--out", "results.gif"), "results.gif: not the name of a .png or .jpg"),
        (("GALLERY", "SKETCH", "--out", "tests"), "tests: not the name of a .png or .jpg"),
        (("GALLERY", "SKETCH", "--model", "nowhere"), "nowhere: no such folder"),
        (("GALLERY", "SKETCH", "--device", "nonsense"), "device nonsense: not available"),
    ],
)
def test_bad_input_is_a_one_line_error(indexed, sketch_file, arguments, message):
    filled = [{"GALLERY": indexed[1], "SKETCH": sketch_file}.get(argument, argument) for argument in arguments]
    with pytest.raises(CaanError, match=message) as error:
        run("search", *filled)
    assert "\n" not in str(error.value)


def test_bad_photos_models_and_galleries_are_refused(indexed, checkpoint, tmp_path):
    with pytest.raises(CaanError, match="nowhere: no such folder"):
        run("index", indexed[0], tmp_path / "gallery", "--model", "nowhere")
    with pytest.raises(CaanError, match="no such folder, list of photos or dataset"):
        run("index", "no-photos", tmp_path / "gallery", "--model", checkpoint)
    assert not (tmp_path / "gallery").exists()
    with pytest.raises(CaanError, match="--split test: applies only to datasets"):
        run("index", indexed[0], tmp_path / "gallery", "--model", checkpoint, "--split", "test")
    with pytest.raises(CaanError, match="holds other files and no gallery"):
        run("index", indexed[0], indexed[0], "--model", checkpoint)


def test_an_empty_folder_is_refused_before_a_gallery_is_created(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(CaanError, match="no photos found"):
        run("index", tmp_path / "empty", tmp_path / "gallery", "--model", tmp_path / "no-model")
    assert not (tmp_path / "gallery").exists()


def test_photos_of_which_none_can_be_used_are_an_error(checkpoint, tmp_path):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.jpg").write_bytes(b"no picture")
    with pytest.raises(CaanError, match=r"photos: none of the photos can be used.*not an image.*a\.jpg"):
        run("index", tmp_path / "photos", tmp_path / "gallery", "--model", checkpoint)


def test_a_missing_sketch_is_reported_before_the_model_is_loaded(indexed):
    with pytest.raises(CaanError, match=r"nothing.png: no such file.*--text"):
        run("search", indexed[1], "nothing.png", "--model", "no-model")


def test_an_empty_gallery_may_be_indexed_with_another_model(indexed, checkpoint, tmp_path):
    Gallery.create(tmp_path / "gallery", model=checkpoint, device="cpu")
    other = save_checkpoint(tmp_path / "other", seed=1)
    assert run("index", indexed[0], tmp_path / "gallery", "--model", other, "--device", "cpu").exit_code == 0
    with pytest.raises(CaanError, match="has other weights"):
        run("index", indexed[0], tmp_path / "gallery", "--model", checkpoint)


def test_a_local_option_that_the_gallery_does_not_follow_is_reported(indexed, checkpoint, tmp_path):
    gallery = tmp_path / "gallery"
    run("index", indexed[0], gallery, "--model", checkpoint, "--no-local", "--device", "cpu")
    assert "local embeddings" not in run("index", indexed[0], gallery, "--model", checkpoint, "--device", "cpu").output
    again = run("index", indexed[0], gallery, "--model", checkpoint, "--local", "--device", "cpu")
    assert "does not store local embeddings" in again.output


def test_the_default_model_is_used_without_model(indexed, checkpoint, tmp_path, monkeypatch):
    from caan_hf.encoding import load

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(load, "DEFAULT_MODEL", "ours")
    monkeypatch.setattr(load, "DEFAULT_HUB_ID", "./not-on-the-hub")
    with pytest.raises(CaanError, match=r"default model .*--model"):
        run("index", indexed[0], "gallery")
    (tmp_path / "hub").mkdir()
    (tmp_path / "hub" / "ours").symlink_to(checkpoint)
    assert "12 new" in run("index", indexed[0], "gallery", "--device", "cpu").output


def test_an_empty_standard_input_is_refused(indexed):
    with pytest.raises(CaanError, match="the sketch: the file is empty"):
        run("search", indexed[1], "-", stdin=b"")

"""A search finds what looking at every photo by hand would find."""

import json

import numpy as np
import pytest
from photos import draw_photo
from PIL import Image

from caan_hf import CaanError
from caan_hf.evaluation.expansion import PHOTO_WEIGHT
from caan_hf.gallery import Gallery
from caan_hf.gallery.rows import RowSettings, matrix


def by_hand(gallery, sketch):
    """Paths and scores of all photos, best first."""
    found = gallery.table.columns(["path", "global_embeds"])
    scores = matrix(found["global_embeds"]) @ gallery.encode_sketch(sketch).global_embeds
    order = np.argsort(-scores)
    return [found["path"][int(row)].as_py() for row in order], scores[order]


def test_the_best_come_first(gallery, sketch):
    paths, scores = by_hand(gallery, sketch)
    results = gallery.search(sketch, k=7)
    assert [result.path for result in results] == paths[:7]
    np.testing.assert_allclose([result.score for result in results], scores[:7], atol=1e-5)
    assert [result.rank for result in results] == list(range(1, 8))
    assert all(result.relation_score is None for result in results)
    assert (results[0].width, results[0].height) == (60, 40)
    assert results[0].thumbnail[:2] == b"\xff\xd8"


@pytest.mark.parametrize("candidates", [5, 30])
def test_re_ranking_orders_the_best_by_relation(gallery, sketch, candidates):
    paths, scores = by_hand(gallery, sketch)
    best = paths[:candidates]
    photos = gallery.encoder.encode_photos([gallery.photo(path) for path in best])
    logits = gallery.encoder.relation_logits(gallery.encode_sketch(sketch).local_embeds, photos.local_embeds)
    results = gallery.search(sketch, k=5, rerank=True, candidates=candidates)
    wanted = [best[row] for row in np.argsort(-logits)[:5]]
    assert [result.path for result in results] == wanted
    np.testing.assert_allclose(
        [result.relation_score for result in results], 1 / (1 + np.exp(-np.sort(logits)[::-1][:5])), atol=1e-3
    )
    assert [result.score for result in results] == pytest.approx(
        [scores[paths.index(path)] for path in wanted], abs=1e-5
    )


def test_expansion_looks_again_with_the_first_photos(gallery, sketch):
    found = gallery.table.columns(["path", "global_embeds"])
    photos = matrix(found["global_embeds"]).astype(float)
    query = gallery.encode_sketch(sketch).global_embeds
    mean = photos[np.argsort(-(photos @ query))[:4]].mean(axis=0)
    expanded = query + PHOTO_WEIGHT * mean / np.linalg.norm(mean)
    scores = photos @ expanded / np.linalg.norm(expanded)
    results = gallery.search(sketch, k=7, expand=4)
    order = np.argsort(-scores)[:7]
    assert [result.path for result in results] == [found["path"][int(row)].as_py() for row in order]
    np.testing.assert_allclose([result.score for result in results], scores[order], atol=1e-5)
    assert [result.path for result in results] != [result.path for result in gallery.search(sketch, k=7)]
    reranked = gallery.search(sketch, k=7, expand=4, rerank=True, candidates=7)
    assert {result.path for result in reranked} == {result.path for result in results}


def test_without_local_embeddings_photos_are_re_ranked_and_explained_all_the_same(
    gallery, indexed_folder, sketch, tmp_path
):
    bare = Gallery.create(tmp_path / "bare", model=gallery.encoder, local=False)
    bare.add(indexed_folder / "photos")
    results = [some.search(sketch, k=5, rerank=True, candidates=20) for some in (gallery, bare)]
    assert [result.path for result in results[0]] == [result.path for result in results[1]]
    explained = [some.explain(sketch, results[0][0]).similarity for some in (gallery, bare)]
    np.testing.assert_allclose(*explained, atol=5e-3)


def test_far_more_than_there_are(gallery, sketch):
    every = [result.path for result in gallery.search(sketch, k=30)]
    assert [result.path for result in gallery.search(sketch, k=2**40)] == every
    assert len(gallery.search(sketch, k=3, expand=2**40)) == 3


def test_more_than_there_are(gallery, sketch):
    assert len(gallery.search(sketch, k=1000)) == 30
    assert len(gallery.search(sketch, k=1000, rerank=True)) == 30


def test_a_sketch_is_encoded_once_for_many_searches(gallery, sketch, monkeypatch):
    query = gallery.encode_sketch(sketch)
    monkeypatch.setattr(gallery.encoder, "encode_sketches", None)
    assert gallery.search(query, k=3) and gallery.explain(query, gallery.search(query, k=1)[0])


def test_the_sketch_may_be_strokes(gallery, tmp_path):
    quickdraw = {"drawing": [[[0, 100, 50, 0], [0, 0, 90, 0]], [[20], [20]]]}
    points = {"strokes": [[[0, 0], [100, 0], [50, 90], [0, 0]], [[20, 20]]]}
    wanted = gallery.search(json.dumps(quickdraw).encode())
    (tmp_path / "drawing.json").write_text(json.dumps(points))
    (tmp_path / "drawings.ndjson").write_text(json.dumps(quickdraw) + "\n" + json.dumps(points) + "\n")
    for given in (
        tmp_path / "drawing.json",
        str(tmp_path / "drawings.ndjson"),
        json.dumps(quickdraw["drawing"]).encode(),
    ):
        assert gallery.search(given) == wanted


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "empty"),
        (b"no picture", "nor strokes as JSON"),
        (b'{"drawing": []}', "no strokes"),
        (b'{"drawing": [[1, 2]]}', "x and y lists"),
        (b'{"strokes": [[1, 2]]}', "no list of"),
        (b'{"strokes": 3}', "no list"),
        (b"{", "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b'{"drawing": [[[NaN], [1]]]}', "no number"),
    ],
)
def test_what_is_no_sketch_is_refused_in_one_line(gallery, tmp_path, content, message):
    file = tmp_path / "sketch.png"
    file.write_bytes(content)
    with pytest.raises(CaanError, match=message) as error:
        gallery.search(file)
    assert str(error.value).startswith(str(file))
    assert "\n" not in str(error.value)


def test_a_blank_sketch_is_refused(gallery, tmp_path):
    Image.new("RGB", (80, 80), "white").save(tmp_path / "blank.png")
    with pytest.raises(CaanError, match=r"blank\.png: the sketch is blank"):
        gallery.search(tmp_path / "blank.png")
    with pytest.raises(CaanError, match="the sketch is blank"):
        gallery.search(Image.new("RGB", (80, 80), "white"))


def test_an_empty_gallery_and_a_bad_k(encoder, sketch, gallery, tmp_path):
    with pytest.raises(CaanError, match="the gallery is empty"):
        Gallery.create(tmp_path / "empty", model=encoder).search(sketch)
    with pytest.raises(CaanError, match="k is 0"):
        gallery.search(sketch, k=0)


def test_new_photos_are_found_by_an_open_gallery(own_gallery, sketch, tmp_path):
    reader = Gallery.open(own_gallery.table.uri, model=own_gallery.encoder)
    assert len(reader.search(sketch, k=100)) == 30
    (tmp_path / "more").mkdir()
    draw_photo(77).save(tmp_path / "more" / "77.png")
    own_gallery.add(tmp_path / "more")
    reader.table.refresh()
    assert len(reader.search(sketch, k=100)) == 31


def test_only_photos_of_the_gallery_are_shown(gallery, tmp_path):
    draw_photo(5).save(tmp_path / "secret.png")
    for path in (str(tmp_path / "secret.png"), "/etc/passwd", "x' OR '1'='1"):
        with pytest.raises(CaanError, match="not in the gallery"):
            gallery.photo(path)


def test_a_photo_that_is_gone_is_shown_by_its_thumbnail(photos, encoder, sketch, tmp_path):
    gallery = Gallery.create(tmp_path / "gallery", model=encoder)
    gallery.add(photos)
    result = gallery.search(sketch, k=1)[0]
    photos.rename(tmp_path / "moved")
    assert gallery.photo(result).size == (60, 40)
    assert gallery.explain(sketch, result).matches


def test_the_model_is_found_again_by_name(indexed_folder, checkpoint, encoder, sketch):
    opened = Gallery.open(indexed_folder / "gallery", device="cpu")
    assert opened.info.model == str(checkpoint)
    assert opened.search(sketch) == Gallery.open(indexed_folder / "gallery", model=encoder).search(sketch)


def test_a_model_that_is_gone_is_asked_for(photos, checkpoint, sketch, tmp_path):
    import shutil

    shutil.copytree(checkpoint, tmp_path / "model")
    Gallery.create(tmp_path / "gallery", model=str(tmp_path / "model")).add(photos)
    shutil.rmtree(tmp_path / "model")
    with pytest.raises(CaanError, match=r"no such folder.*; .*gallery was indexed with it: .* --model"):
        Gallery.open(tmp_path / "gallery").search(sketch)
    assert Gallery.open(tmp_path / "gallery", model=str(checkpoint)).search(sketch)


def test_a_photo_that_has_gone_is_left_out_of_re_ranking(gallery, indexed_folder, sketch, tmp_path):
    (tmp_path / "photos").mkdir()
    for number in range(4):
        draw_photo(number).save(tmp_path / "photos" / f"{number}.png")
    bare = Gallery.create(tmp_path / "bare", model=gallery.encoder, local=False)
    bare.add(tmp_path / "photos", settings=RowSettings(local=False, thumbnail=0))
    (tmp_path / "photos" / "2.png").unlink()
    results = bare.search(sketch, k=4, rerank=True)
    assert {result.path[-5:] for result in results} == {"0.png", "1.png", "3.png"}
    for number in (0, 1, 3):
        (tmp_path / "photos" / f"{number}.png").unlink()
    with pytest.raises(CaanError, match="cannot be read any more"):
        bare.search(sketch, k=4, rerank=True)


@pytest.mark.parametrize(
    "wrong",
    [{"k": 0}, {"k": 2.5}, {"k": "3"}, {"k": 3, "rerank": True, "candidates": 0}, {"expand": 0}, {"expand": True}],
)
def test_numbers_of_photos_are_whole_and_above_zero(gallery, sketch, wrong):
    with pytest.raises(CaanError, match="ask for a whole number of photos, at least 1"):
        gallery.search(sketch, **wrong)


def test_a_path_may_begin_with_the_users_folder(gallery, indexed_folder, sketch, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    Gallery.create("~/mine", model=gallery.encoder).add(indexed_folder / "photos")
    assert (tmp_path / "mine").is_dir()
    assert len(Gallery.open("~/mine").search(gallery.encode_sketch(sketch), k=3)) == 3

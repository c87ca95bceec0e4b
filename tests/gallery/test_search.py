"""A search returns what comparing with every photo in a loop would return."""

import json
import shutil
from copy import copy

import numpy as np
import pytest
from gallery_rows import embeds, ranked
from photos import draw_photo

from caan_hf import CaanError
from caan_hf.encoding.checkpoint import CheckpointEncoder
from caan_hf.gallery import Gallery, SearchOptions
from caan_hf.retrieval.expansion import PHOTO_WEIGHT

BLANK = b"P5 80 80 255\n" + b"\xff" * 6400


def test_results_are_sorted_by_cosine(gallery, sketch):
    paths, scores = ranked(gallery, gallery.encode_sketch(sketch).global_embeds)
    results = gallery.search(sketch, k=7, rerank=False)
    assert [result.path for result in results] == paths[:7]
    np.testing.assert_allclose([result.score for result in results], scores[:7], atol=1e-5)
    assert [result.rank for result in results] == list(range(1, 8))
    assert all(result.local_score is None and result.fused_score is None for result in results)
    assert results[0].ranking_score == results[0].score
    assert (results[0].width, results[0].height) == (60, 40)
    assert results[0].thumbnail[:2] == b"\xff\xd8"


@pytest.mark.parametrize("candidates", [5, 30])
def test_reranking_sorts_the_candidates_by_fused_score(gallery, sketch, candidates):
    paths, scores = ranked(gallery, gallery.encode_sketch(sketch).global_embeds)
    best = paths[:candidates]
    photos = gallery.encoder.encode(best, "photo")
    local = gallery.encoder.local_scores(gallery.encode_sketch(sketch).local_embeds[None], photos.local_embeds)[0]
    assert gallery.encoder.local_weight == 0.5
    mean = (scores[:candidates] + local) / 2
    wanted = np.argsort(-mean)[:5]
    results = gallery.search(sketch, k=5, rerank=True, candidates=candidates)
    assert [result.path for result in results] == [best[row] for row in wanted]
    for name, values in (("score", scores), ("local_score", local), ("fused_score", mean), ("ranking_score", mean)):
        found = [getattr(result, name) for result in results]
        np.testing.assert_allclose(found, values[wanted], atol=3e-3)  # local embeddings are stored in int8


def test_expansion_searches_with_the_sketch_and_its_first_photos(gallery, sketch):
    photos = embeds(gallery).astype(float)
    query = gallery.encode_sketch(sketch).global_embeds
    mean = photos[np.argsort(-(photos @ query))[:4]].mean(axis=0)
    expanded = query + PHOTO_WEIGHT * mean / np.linalg.norm(mean)
    paths, scores = ranked(gallery, expanded / np.linalg.norm(expanded))
    results = gallery.search(sketch, k=7, expand=4, rerank=False)
    assert [result.path for result in results] == paths[:7]
    np.testing.assert_allclose([result.score for result in results], scores[:7], atol=1e-5)
    assert [result.path for result in results] != [result.path for result in gallery.search(sketch, k=7, rerank=False)]
    reranked = gallery.search(sketch, k=7, expand=4, rerank=True, candidates=7)
    assert {result.path for result in reranked} == {result.path for result in results}


def with_weight(encoder, weight):
    """The same encoder with another weight of the local score."""
    model = copy(encoder.model)
    model.config = type(model.config)(**{**model.config.to_dict(), "local_weight": weight})
    return CheckpointEncoder(model, encoder.processor, encoder.name)


@pytest.mark.parametrize(("weight", "by_default"), [(0.5, True), (0.0, False), (None, False)])
def test_photos_are_reranked_by_default_where_the_model_has_a_weight_for_it(
    indexed_folder, encoder, sketch, weight, by_default
):
    gallery = Gallery.open(indexed_folder / "gallery", model=with_weight(encoder, weight))
    on, off = (gallery.search(sketch, k=9, rerank=rerank) for rerank in (True, False))
    assert [one.path for one in on] != [one.path for one in off] or weight == 0
    assert gallery.search(sketch, k=9) == (on if by_default else off)
    assert gallery.search(sketch, k=9, rerank=None, candidates=2) == (
        gallery.search(sketch, k=9, rerank=True, candidates=9) if by_default else off
    )


def test_without_local_embeddings_photos_are_encoded_for_reranking_only_on_request(
    gallery, counting, indexed_folder, sketch, tmp_path
):
    bare = Gallery.create(tmp_path / "bare", model=counting, local=False)
    bare.add(indexed_folder / "photos")
    assert counting.reranks
    assert bare.search(sketch, k=9) == bare.search(sketch, k=9, rerank=False)
    assert counting.num_photos == 30
    results = [some.search(sketch, k=5, rerank=True, candidates=20) for some in (gallery, bare)]
    assert counting.num_photos == 30 + 20
    assert [result.path for result in results[0]] == [result.path for result in results[1]]
    explained = [some.explain(sketch, results[0][0]).shares for some in (gallery, bare)]
    np.testing.assert_allclose(*explained, atol=5e-3)


def test_k_and_expand_may_exceed_the_number_of_photos(gallery, sketch):
    every = [result.path for result in gallery.search(sketch, k=30)]
    assert [result.path for result in gallery.search(sketch, k=2**40)] == every
    assert len(gallery.search(sketch, k=1000, rerank=True)) == 30
    assert len(gallery.search(sketch, k=3, expand=2**40)) == 3


def test_a_sketch_may_be_strokes(gallery, tmp_path):
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
        (b"no picture", "not a picture"),
        (b'{"drawing": []}', "strokes"),
        (b'{"drawing": [[1, 2]]}', "x and y lists"),
        (b'{"strokes": [[1, 2]]}', "not a list of"),
        (b'{"strokes": 3}', "not a list"),
        (b"{", "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b'{"drawing": [[[NaN], [1]]]}', "not strokes"),
        (BLANK, "the sketch is blank"),
    ],
)
def test_a_file_that_is_not_a_sketch_is_refused_in_one_line(gallery, tmp_path, content, message):
    file = tmp_path / "sketch.png"
    file.write_bytes(content)
    with pytest.raises(CaanError, match=message) as error:
        gallery.search(file)
    assert str(error.value).startswith(str(file))
    assert "\n" not in str(error.value)


def test_an_empty_gallery_cannot_be_searched(encoder, sketch, tmp_path):
    with pytest.raises(CaanError, match="the gallery is empty"):
        Gallery.create(tmp_path / "empty", model=encoder).search(sketch)


def test_an_open_gallery_finds_photos_added_later(own_gallery, sketch, tmp_path):
    reader = Gallery.open(own_gallery.table.uri, model=own_gallery.encoder)
    assert len(reader.search(sketch, k=100)) == 30
    (tmp_path / "more").mkdir()
    draw_photo(77).save(tmp_path / "more" / "77.png")
    own_gallery.add(tmp_path / "more")
    reader.table.refresh()
    assert len(reader.search(sketch, k=100)) == 31


def test_only_photos_of_the_gallery_can_be_read(gallery, tmp_path):
    draw_photo(5).save(tmp_path / "secret.png")
    for path in (str(tmp_path / "secret.png"), "/etc/passwd", "x' OR '1'='1"):
        with pytest.raises(CaanError, match="not in the gallery"):
            gallery.photo(path)


def test_a_deleted_photo_is_replaced_by_its_thumbnail(photos, encoder, sketch, tmp_path):
    gallery = Gallery.create(tmp_path / "gallery", model=encoder)
    gallery.add(photos)
    result = gallery.search(sketch, k=1)[0]
    photos.rename(tmp_path / "moved")
    assert gallery.photo(result).size == (60, 40)
    assert gallery.explain(sketch, result).matches


def test_the_model_is_loaded_by_the_name_in_the_gallery(indexed_folder, checkpoint, encoder, sketch):
    opened = Gallery.open(indexed_folder / "gallery", device="cpu", dtype="float32")
    assert opened.info.model == str(checkpoint)
    assert opened.search(sketch) == Gallery.open(indexed_folder / "gallery", model=encoder).search(sketch)


def test_a_missing_model_can_be_given_by_its_new_place(photos, checkpoint, sketch, tmp_path):
    shutil.copytree(checkpoint, tmp_path / "model")
    Gallery.create(tmp_path / "gallery", model=str(tmp_path / "model")).add(photos)
    shutil.rmtree(tmp_path / "model")
    for open_gallery in (Gallery.open, Gallery.create):
        with pytest.raises(CaanError, match=r"model: no such folder.*gallery was indexed with it.*--model"):
            open_gallery(tmp_path / "gallery").search(sketch)
    assert Gallery.open(tmp_path / "gallery", model=str(checkpoint)).search(sketch)


def test_reranking_without_local_embeddings_leaves_out_deleted_photos(gallery, indexed_folder, sketch, tmp_path):
    (tmp_path / "photos").mkdir()
    for number in range(4):
        draw_photo(number).save(tmp_path / "photos" / f"{number}.png")
    bare = Gallery.create(tmp_path / "bare", model=gallery.encoder, local=False)
    bare.add(tmp_path / "photos", thumbnail=0)
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
def test_numbers_of_photos_must_be_positive_integers(gallery, sketch, wrong):
    with pytest.raises(CaanError, match="must be a positive integer, got"):
        gallery.search(sketch, **wrong)


def test_a_path_may_begin_with_a_tilde(gallery, indexed_folder, sketch, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    Gallery.create("~/mine", model=gallery.encoder).add(indexed_folder / "photos")
    assert (tmp_path / "mine").is_dir()
    assert len(Gallery.open("~/mine").search(gallery.encode_sketch(sketch), k=3)) == 3


@pytest.mark.parametrize("options", [{}, {"rerank": True, "expand": 3}], ids=["plain", "reranked"])
def test_a_search_and_its_explanations_open_and_clean_the_sketch_once(gallery, sketch, tmp_path, calls, options):
    sketch.save(tmp_path / "sketch.png")
    query = gallery.encode_sketch(tmp_path / "sketch.png")
    results = gallery.search(query, k=2, **options)
    assert calls == {"open": 1, "clean": 1}
    for result in results:
        gallery.explain(query, result).figure()
    assert calls == {"open": 1 + 2, "clean": 1}  # and each photo once


def test_an_encoded_sketch_is_not_encoded_again_and_a_result_not_read_again(gallery, sketch, monkeypatch):
    query = gallery.encode_sketch(sketch)
    monkeypatch.setattr(gallery.encoder, "encode_prepared", None)
    (result,) = gallery.search(query, k=1)
    by_path = gallery.explain(query, result.path)
    monkeypatch.setattr(gallery.table, "table", None)
    explained = gallery.explain(query, result)
    np.testing.assert_array_equal(explained.shares, by_path.shares)


def test_printing_a_result_shows_no_binary_data(gallery, sketch):
    (result,) = gallery.search(sketch, k=1)
    assert result.thumbnail is not None
    assert result.local_embeds.shape == gallery.info.identity.local_shape
    assert result.path in repr(result)
    assert len(repr(result)) < len(result.path) + 200


def test_options_may_be_given_as_one_object(gallery, sketch):
    options = SearchOptions(k=4, rerank=True)
    assert gallery.search(sketch, options) == gallery.search(sketch, k=4, rerank=True)
    assert len(gallery.search(sketch, options, k=2)) == 2


def test_a_search_by_photo_finds_the_nearest_photos_without_itself(gallery, indexed_folder):
    path = str(indexed_folder / "photos" / "07.png")
    wanted = [one for one in ranked(gallery, embeds(gallery)[7])[0] if one != path][:5]
    results = gallery.search(path, k=5, photo=True)
    assert [result.path for result in results] == wanted
    assert [result.rank for result in results] == [1, 2, 3, 4, 5]
    assert all(result.fused_score is None for result in results)
    again = gallery.search(gallery.search(wanted[0], k=29, photo=True)[-1], k=29, photo=True)
    assert len({result.path for result in again}) == 29


def test_a_search_by_another_photo_encodes_it_and_finds_its_copy_first(gallery, indexed_folder, tmp_path):
    copy_of = indexed_folder / "photos" / "07.png"
    (tmp_path / "07.png").write_bytes(copy_of.read_bytes())
    for source in (tmp_path / "07.png", copy_of.read_bytes(), draw_photo(7)):
        best = gallery.search(source, k=3, photo=True)[0]
        assert (best.path, best.score) == (str(copy_of), pytest.approx(1, abs=1e-3))


def test_a_search_by_photo_expands_with_the_first_photos(gallery, indexed_folder):
    path = indexed_folder / "photos" / "07.png"
    once, again = (gallery.search(path, k=5, photo=True, expand=expand) for expand in (None, 4))
    assert [one.score for one in once] != [one.score for one in again]


def test_a_search_by_photo_names_what_cannot_be_used(gallery, encoder, tmp_path):
    with pytest.raises(CaanError, match=r"missing\.jpg"):
        gallery.search(tmp_path / "missing.jpg", photo=True)
    with pytest.raises(CaanError, match="--photo and --rerank"):
        gallery.search(tmp_path / "missing.jpg", photo=True, rerank=True)
    draw_photo(1).save(tmp_path / "1.png")
    single = Gallery.create(tmp_path / "single", model=encoder)
    single.add([tmp_path / "1.png"])
    with pytest.raises(CaanError, match="no other photo"):
        single.search(tmp_path / "1.png", photo=True)


@pytest.mark.parametrize("copied", [False, True])
def test_photos_whose_files_no_longer_exist_are_reported(encoder, sketch, tmp_path, copied):
    files = [tmp_path / f"{number}.png" for number in range(3)]
    for number, file in enumerate(files):
        draw_photo(number).save(file)
    gallery = Gallery.create(tmp_path / "gallery", model=encoder)
    gallery.add(files, copy=copied)
    assert gallery.gone(gallery.search(sketch)) == set()
    files[1].unlink()
    assert gallery.gone(gallery.search(sketch)) == (set() if copied else {str(files[1])})

"""A smoothed gallery is searched by the mean of each photo and its nearest photos, also after the photos changed."""

import shutil

import lancedb
import numpy as np
import pytest
from gallery_vectors import add, clustered, make_table
from photos import draw_photo

from caan_hf import CaanError
from caan_hf.encoding.checkpoint import CheckpointEncoder
from caan_hf.gallery import Gallery, indexing, vector_index
from caan_hf.gallery import search_vectors as module
from caan_hf.gallery.schema import from_vectors
from caan_hf.retrieval.expansion import expand_queries
from caan_hf.retrieval.hubs import HubCorrection
from caan_hf.retrieval.smoothing import smooth_photos

K = 3


@pytest.fixture
def smoothed(own_gallery, indexed_folder):
    own_gallery.add(indexed_folder / "photos", smooth=K)
    return own_gallery


def expected_scores(gallery, query, k=K):
    """Path to score of every photo, from the plain embeddings of the gallery."""
    found = gallery.table.columns(["path", "global_embeds", "sha256"])
    contents = found["sha256"].to_pylist()
    distinct = np.array([contents.index(content) == row for row, content in enumerate(contents)])
    scores = smooth_photos(from_vectors(found["global_embeds"]), k, distinct=distinct) @ query
    return dict(zip(found["path"].to_pylist(), scores.tolist(), strict=True))


def require_smoothed(gallery, sketch, k=K):
    """Check that a search finds all photos by their smoothed vectors."""
    results = gallery.search(sketch, k=1000, rerank=False)
    expected = expected_scores(gallery, gallery.encode_sketch(sketch).global_embeds, k)
    assert {result.path: result.score for result in results} == pytest.approx(expected, abs=1e-5)
    assert [result.score for result in results] == sorted((result.score for result in results), reverse=True)


def test_a_smoothed_gallery_is_searched_by_the_smoothed_photos(smoothed, sketch):
    require_smoothed(smoothed, sketch)
    plain = smoothed.search(sketch, k=30, plain=True)
    own = dict(zip(*smoothed.table.columns(["path", "global_embeds"]).to_pydict().values(), strict=True))
    query = smoothed.encode_sketch(sketch).global_embeds
    assert [one.score for one in plain] == pytest.approx([float(query @ own[one.path]) for one in plain], abs=1e-5)
    assert (plain[0].width, plain[0].thumbnail[:2]) == (60, b"\xff\xd8")
    assert smoothed.search(sketch, k=1)[0].thumbnail[:2] == b"\xff\xd8"


def test_expansion_and_reranking_use_the_smoothed_photos(smoothed, sketch):
    query = smoothed.encode_sketch(sketch).global_embeds
    vectors = smooth_photos(from_vectors(smoothed.table.columns(["global_embeds"])["global_embeds"]), K)
    expanded = expand_queries(query, vectors[np.argsort(-(vectors @ query))[:4]])
    results = smoothed.search(sketch, k=30, expand=4, rerank=False)
    assert [one.score for one in results] == pytest.approx(np.sort(vectors @ expanded)[::-1].tolist(), abs=1e-5)
    expected = expected_scores(smoothed, query)
    reranked = smoothed.search(sketch, k=5, rerank=True, candidates=30)
    assert [one.score for one in reranked] == pytest.approx([expected[one.path] for one in reranked], abs=1e-5)
    assert all(one.local_score is not None for one in reranked)


class EncoderWithBank(CheckpointEncoder):
    """An encoder with given training sketches and weight, like a checkpoint with a bank of sketches."""

    hub_sketches = None
    hub_weight = None


@pytest.fixture
def corrected(own_gallery, indexed_folder):
    """A gallery whose model corrects hubs, and the amounts by which it lowers the scores of some vectors."""
    encoder = EncoderWithBank(own_gallery.encoder.model, own_gallery.encoder.processor, own_gallery.encoder.name)
    encoder.hub_sketches = np.random.default_rng(0).standard_normal((12, 16)).astype(np.float32)
    encoder.hub_sketches /= np.linalg.norm(encoder.hub_sketches, axis=1, keepdims=True)
    encoder.hub_weight = 0.7
    gallery = Gallery.create(own_gallery.table.uri, model=encoder)
    report = gallery.add(indexed_folder / "photos")
    assert (report.smooth, report.hub_weight, report.vectors_seconds > 0) == (0, 0.7, True)
    return gallery


def lowered(encoder, vectors):
    return encoder.hub_weight * np.sort(vectors @ encoder.hub_sketches.T, axis=1)[:, -10:].mean(axis=1)


def test_the_scores_of_hubs_are_lowered(corrected, indexed_folder, sketch):
    query = corrected.encode_sketch(sketch).global_embeds
    for k in (0, K):
        corrected.add(indexed_folder / "photos", smooth=k)
        vectors = smooth_photos(from_vectors(corrected.table.columns(["global_embeds"])["global_embeds"]), k)
        scores = vectors @ query - lowered(corrected.encoder, vectors)
        results = corrected.search(sketch, k=30, rerank=False)
        assert [one.score for one in results] == pytest.approx(np.sort(scores)[::-1].tolist(), abs=1e-5)
        expanded = expand_queries(query, vectors[np.argsort(-scores)[:4]])
        scores = vectors @ expanded - lowered(corrected.encoder, vectors)
        results = corrected.search(sketch, k=30, expand=4, rerank=False)
        assert [one.score for one in results] == pytest.approx(np.sort(scores)[::-1].tolist(), abs=1e-5)
        plain = corrected.search(sketch, k=30, plain=True)
        assert {one.path for one in plain} == {one.path for one in results}
        assert plain != results


def test_another_model_without_a_bank_searches_a_corrected_gallery(corrected, own_gallery, sketch):
    opened = Gallery.open(corrected.table.uri, model=own_gallery.encoder)
    assert opened.search(sketch, k=30) == corrected.search(sketch, k=30)


def test_another_weight_or_bank_is_used_after_the_next_call(corrected, indexed_folder, sketch):
    before = corrected.search(sketch, k=30)
    corrected.encoder.hub_weight = 0.3
    assert corrected.search(sketch, k=30) == before
    assert corrected.add(indexed_folder / "photos").vectors_seconds > 0
    assert corrected.search(sketch, k=30) != before
    assert corrected.add(indexed_folder / "photos").vectors_seconds == 0
    corrected.encoder.hub_weight = None
    assert corrected.add(indexed_folder / "photos").hub_weight is None
    assert corrected.search(sketch, k=30) == corrected.search(sketch, k=30, plain=True)


def test_the_recall_of_the_vector_index_is_that_of_corrected_scores(tmp_path):
    table = make_table(tmp_path / "gallery", 24)
    add(table, clustered(3000, 24))
    sketches = clustered(40, 24, seed=3)
    vectors, _ = module.update_search_vectors(table, 0, HubCorrection(sketches, 0.9))
    state = vector_index.maintain_index(vectors, min_rows=1_000)
    assert (state.kind, vectors.table.schema.field("search_embeds").type.list_size) == ("IVF_RQ", 32)
    assert state.recall >= vector_index.TARGET_RECALL
    plain = clustered(3000, 24)
    scores = plain @ plain[7] - HubCorrection(sketches, 0.9).lowered(plain)
    found = vectors.nearest(plain[7], 20, ["path"])["path"].to_pylist()
    assert len({int(path) for path in found} & set(np.argsort(-scores)[:20].tolist())) >= 19


def test_photos_that_are_added_changed_or_removed_are_smoothed_again(photos, encoder, sketch, tmp_path):
    gallery = Gallery.create(tmp_path / "gallery", model=encoder)
    assert gallery.add(photos / "summer", smooth=K).vectors_seconds > 0
    require_smoothed(gallery, sketch)
    assert (gallery.add(photos).smooth, len(gallery)) == (K, 12)  # without the option
    require_smoothed(gallery, sketch)
    draw_photo(77).save(photos / "summer" / "00.png")
    gallery.add(photos)
    require_smoothed(gallery, sketch)
    (photos / "winter" / "06.png").unlink()
    gallery.add(photos, prune=True)
    require_smoothed(gallery, sketch)
    gallery.add(photos, forget=[str(photos / "summer")])
    require_smoothed(gallery, sketch)
    assert Gallery.open(tmp_path / "gallery", model=encoder).search(sketch, k=3) == gallery.search(sketch, k=3)


def test_nothing_is_smoothed_or_written_when_nothing_changed(smoothed, indexed_folder, tmp_path):
    before = {file: file.stat().st_mtime_ns for file in (tmp_path / "gallery").rglob("*")}
    report = smoothed.add(indexed_folder / "photos", smooth=K)
    assert (report.smooth, report.vectors_seconds) == (K, 0)
    assert {file: file.stat().st_mtime_ns for file in (tmp_path / "gallery").rglob("*")} == before


@pytest.mark.parametrize(("enough", "expected"), [(12, 5), (13, 0)])
def test_a_new_gallery_of_enough_photos_is_smoothed(photos, encoder, tmp_path, monkeypatch, enough, expected):
    monkeypatch.setattr(indexing, "SMOOTH_FROM", enough)
    gallery = Gallery.create(tmp_path / "gallery", model=encoder)
    assert gallery.add(photos).smooth == expected
    draw_photo(12).save(photos / "new.png")
    assert gallery.add(photos).smooth == expected


def test_another_number_of_neighbours_is_used_by_the_next_call(smoothed, indexed_folder, sketch, tmp_path):
    for given, used in ((5, 5), (100, len(smoothed) // 2)):  # at most half of the photos are neighbours
        smoothed.add(indexed_folder / "photos", smooth=given)
        require_smoothed(smoothed, sketch, used)
    assert smoothed.add(indexed_folder / "photos", smooth=0).smooth == 0
    assert smoothed.search(sketch, k=30) == smoothed.search(sketch, k=30, plain=True)
    assert smoothed.add(indexed_folder / "photos").smooth == 0
    assert not (tmp_path / "gallery" / "vectors.lance").exists()


def test_a_gallery_does_not_grow_by_smoothing_it_again(smoothed, indexed_folder, tmp_path):
    def size():
        return sum(file.stat().st_size for file in (tmp_path / "gallery" / "vectors.lance").rglob("*"))

    first = size()
    for _ in range(4):
        for k in (2, K):
            smoothed.add(indexed_folder / "photos", smooth=k)
    assert size() < 2 * first


class Stopped(Exception):
    pass


@pytest.mark.parametrize("where", ["smooth_photos", "_write", "while photos are written"])
def test_an_interrupted_call_leaves_a_gallery_that_finds_all_its_photos(
    smoothed, indexed_folder, photos, sketch, where, monkeypatch
):
    def stop(*args, **options):
        raise Stopped

    with monkeypatch.context() as patch:
        if where == "while photos are written":
            patch.setattr("caan_hf.gallery.indexing.update_search_vectors", stop)
        else:
            patch.setattr(module, where, stop)
        with pytest.raises(Stopped):
            smoothed.add(photos)
    opened = Gallery.open(smoothed.table.uri, model=smoothed.encoder)
    assert len(opened.search(sketch, k=100)) == 42
    assert opened.search(sketch, k=100) == opened.search(sketch, k=100, plain=True)
    assert smoothed.add(photos).vectors_seconds > 0  # although no photo is new
    require_smoothed(smoothed, sketch)


def test_an_interrupted_first_call_is_continued_with_its_number_of_neighbours(photos, encoder, sketch, tmp_path):
    gallery = Gallery.create(tmp_path / "gallery", model=encoder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("caan_hf.gallery.indexing.maintain_index", lambda *args, **options: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            gallery.add(photos, smooth=K)
    gallery.add(photos)
    require_smoothed(gallery, sketch)


def test_a_photo_that_another_program_removed_is_not_found_by_its_vector(smoothed, sketch):
    """An earlier version of the package, without search vectors, removes a photo."""
    photos = lancedb.connect(smoothed.table.uri).open_table("photos")
    gone = smoothed.search(sketch, k=1)[0].path
    photos.delete(f"path = '{gone}'")
    opened = Gallery.open(smoothed.table.uri, model=smoothed.encoder)
    assert gone not in {result.path for result in opened.search(sketch, k=100)}
    assert len(opened.search(sketch, k=100)) == 29
    smoothed.table.refresh()
    assert gone not in {result.path for result in smoothed.search(sketch, k=100)}  # which had opened the vectors


def test_photos_are_found_after_their_rows_have_moved(smoothed, indexed_folder, sketch):
    require_smoothed(smoothed, sketch)
    photos = lancedb.connect(smoothed.table.uri).open_table("photos")
    photos.merge_insert("path").when_matched_update_all().execute(photos.to_arrow().slice(0, 9))  # new row ids
    smoothed.table.refresh()
    require_smoothed(smoothed, sketch)
    assert smoothed.add(indexed_folder / "photos").vectors_seconds > 0
    require_smoothed(smoothed, sketch)


def test_copies_of_a_photo_are_not_its_neighbours(photos, encoder, sketch, tmp_path):
    gallery = Gallery.create(tmp_path / "gallery", model=encoder)
    gallery.add(photos, smooth=K)
    before = {result.path: result.score for result in gallery.search(sketch, k=30)}
    for copy in range(4):
        shutil.copy(photos / "summer" / "00.png", photos / "summer" / f"copy-{copy}.png")
    gallery.add(photos)
    after = {result.path: result.score for result in gallery.search(sketch, k=30)}
    assert {path: after[path] for path in before} == pytest.approx(before, abs=1e-5)
    copies = [score for path, score in after.items() if "copy" in path]
    assert copies == pytest.approx([before[str(photos / "summer" / "00.png")]] * 4, abs=1e-5)


@pytest.mark.parametrize("how", ["missing", "truncated", "another width", "removed"])
def test_damaged_vectors_raise_an_error_and_are_computed_again(smoothed, indexed_folder, sketch, tmp_path, how):
    folder = tmp_path / "gallery" / "vectors.lance"
    if how == "removed":
        shutil.rmtree(folder)
    elif how == "another width":
        rows = smoothed._searched().table.to_arrow().drop_columns(["search_embeds"])
        lancedb.connect(smoothed.table.uri).create_table("vectors", data=rows, mode="overwrite")
    for file in (folder / "data").glob("*"):
        if how == "truncated":
            file.write_bytes(file.read_bytes()[:50])
        elif how == "missing":
            file.unlink()
    opened = Gallery.open(smoothed.table.uri, model=smoothed.encoder)
    if how == "removed":
        assert opened.search(sketch, k=9) == opened.search(sketch, k=9, plain=True)
        return
    with pytest.raises(CaanError, match=r"gallery: .*caan index.*vectors\.lance") as error:
        opened.search(sketch)
    assert "\n" not in str(error.value)
    assert opened.search(sketch, plain=True)
    assert smoothed.add(indexed_folder / "photos").vectors_seconds > 0
    require_smoothed(Gallery.open(smoothed.table.uri, model=smoothed.encoder), sketch)


def test_an_empty_gallery_has_no_vectors(smoothed, indexed_folder, sketch, tmp_path):
    smoothed.table.delete(smoothed.table.columns(["path"])["path"].to_pylist())
    assert module.update_search_vectors(smoothed.table, K) == (None, 0.0)
    smoothed.add(indexed_folder / "photos")
    require_smoothed(smoothed, sketch)

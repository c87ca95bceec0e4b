"""Requests to the running service, and its answers."""

import io
import json
import re
from datetime import timedelta

import numpy as np
import pytest
from photos import encoded
from PIL import Image

from caan_hf.gallery import Gallery
from caan_hf.service.searcher import Searcher

STROKES = {"strokes": [[[0, 0], [50, 0], [50, 50]], [[10, 10], [20, 40]]]}
BLANK = encoded(Image.new("L", (50, 50), 255))
NO_PHOTO = "0" * 64


def paths(answer) -> list[str]:
    assert answer.status_code == 200, answer.text
    return [result["path"] for result in answer.json()["results"]]


def picture(answer, kind: str) -> Image.Image:
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == f"image/{kind}"
    return Image.open(io.BytesIO(answer.content))


def best(service, drawing) -> dict:
    return service.post("/v1/search", files={"sketch": drawing.read_bytes()}).json()["results"][0]


@pytest.mark.parametrize("options", [{}, {"k": 3}, {"rerank": True}, {"rerank": False}, {"expand": 5, "k": 7}])
def test_search_answers_what_the_gallery_finds(service, gallery, drawing, options):
    answer = service.post("/v1/search", params=options, files={"sketch": drawing.read_bytes()})
    expected = gallery.search(drawing, **options)
    assert paths(answer) == [result.path for result in expected]
    for given, wanted in zip(answer.json()["results"], expected, strict=True):
        assert given["id"] == wanted.sha256
        assert (given["rank"], given["width"], given["height"]) == (wanted.rank, 60, 40)
        assert given["name"] == wanted.path.rpartition("/")[2]
        for score in ("score", "local_score", "fused_score"):
            value = getattr(wanted, score)
            assert given[score] == (None if value is None else pytest.approx(value, abs=1e-4))
    assert set(answer.json()["seconds"]) == {"read", "encode", "search"}


def test_search_by_strokes(service, gallery, tmp_path):
    file = tmp_path / "strokes.json"
    file.write_text(json.dumps(STROKES), encoding="utf-8")
    expected = [result.path for result in gallery.search(file)]
    assert paths(service.post("/v1/search/strokes", json=STROKES)) == expected
    assert paths(service.post("/v1/search", files={"sketch": file.read_bytes()})) == expected


WORDS = "two dogs"


def test_search_by_words_alone_and_beside_a_sketch(text_service, text_searcher, drawing):
    gallery, files = text_searcher.gallery, {"sketch": drawing.read_bytes()}
    alone, both, sketch = (
        [result.path for result in gallery.search(query, text=text, k=30)]
        for query, text in ((None, WORDS), (drawing, WORDS), (drawing, None))
    )
    assert alone != both != sketch
    for data in ({"text": WORDS}, {"text": f" {WORDS}\n"}):
        assert paths(text_service.post("/v1/search", params={"k": 30}, data=data)) == alone
        assert paths(text_service.post("/v1/search", params={"k": 30}, data=data, files=files)) == both
    for data in ({}, {"text": ""}, {"text": " "}):
        assert paths(text_service.post("/v1/search", params={"k": 30}, data=data, files=files)) == sketch
    blank = text_service.post("/v1/search", params={"k": 30}, data={"text": WORDS}, files={"sketch": BLANK})
    assert paths(blank) == alone
    assert text_service.get("/v1/galleries").json()[0]["has_text"]


def test_search_by_strokes_and_words(text_service, text_searcher, tmp_path):
    (tmp_path / "strokes.json").write_text(json.dumps(STROKES), encoding="utf-8")
    answer = text_service.post("/v1/search/strokes", json={**STROKES, "text": WORDS})
    assert paths(answer) == [one.path for one in text_searcher.gallery.search(tmp_path / "strokes.json", text=WORDS)]


@pytest.mark.parametrize(
    "request_",
    [
        {},
        {"data": {"text": ""}},
        {"data": {"text": "  "}},
        {"content": b"\x89PNG", "headers": {"Content-Type": "image/png"}},
    ],
)
def test_a_search_for_nothing_says_what_to_send(service, text_service, request_):
    for client in (service, text_service):
        refused = client.post("/v1/search", **request_)
        assert refused.status_code == 400
        assert re.search("form.*sketch, or words", refused.json()["detail"])


def test_a_field_that_is_sent_twice_is_refused(service, drawing):
    sketch = ("sketch", drawing.read_bytes())
    refused = service.post("/v1/search", files=[sketch, sketch])
    assert refused.status_code == 400
    assert "more than one field sketch" in refused.json()["detail"]


def test_words_are_refused_in_one_sentence_where_the_model_cannot_encode_them(service, gallery, drawing):
    for request in ({}, {"files": {"sketch": drawing.read_bytes()}}):
        refused = service.post("/v1/search", data={"text": WORDS}, **request)
        assert refused.status_code == 400
        assert re.fullmatch(r"[^\n]*no text tower to search by words\. Give a sketch[^\n]*", refused.json()["detail"])
        assert gallery.info.model not in refused.text


def test_search_by_photo(service, gallery, photos):
    content = (photos / "07.png").read_bytes()
    answer = service.post("/v1/search/photo", params={"k": 3}, files={"photo": content})
    assert paths(answer) == [result.path for result in gallery.search(content, photo=True, k=3)]
    first = answer.json()["results"][0]
    assert first["name"] == "07.png"
    similar = service.get(f"/v1/photos/{first['id']}/similar", params={"k": 2})
    assert paths(similar) == paths(answer)[1:]


def test_photos_and_thumbnails(service, gallery, drawing):
    found = best(service, drawing)
    shown = picture(service.get(f"/v1/photos/{found['id']}"), "jpeg")
    expected = np.asarray(gallery.photo(found["path"]), float).mean(axis=(0, 1))
    assert shown.size == (60, 40)
    np.testing.assert_allclose(np.asarray(shown, float).mean(axis=(0, 1)), expected, atol=4)
    small = picture(service.get(f"/v1/photos/{found['id']}/thumbnail"), "jpeg")
    np.testing.assert_allclose(np.asarray(small, float).mean(axis=(0, 1)), expected, atol=4)


def test_explanations(service, gallery, drawing):
    found = best(service, drawing)
    files = {"sketch": drawing.read_bytes()}
    answer = service.post(f"/v1/photos/{found['id']}/explain", files=files).json()
    expected = gallery.explain(drawing, found["path"])
    assert [match["share"] for match in answer["matches"]] == pytest.approx([one.share for one in expected.matches])
    assert answer["matches"][0]["sketch_box"] == pytest.approx(expected.matches[0].sketch_box)
    figure = picture(service.post(f"/v1/photos/{found['id']}/explain/figure", files=files), "png")
    assert figure.size == expected.figure().size


def test_galleries_are_described(service, gallery):
    described = {"photos": 30, "image_size": 32, "reranks": gallery.reranks, "explains": True, "has_text": False}
    assert service.get("/v1/galleries").json() == [{"name": name, **described} for name in ("photos", "again")]


def test_a_gallery_is_chosen_by_its_name(service, drawing):
    files = {"sketch": drawing.read_bytes()}
    assert service.post("/v1/search", files=files).json()["gallery"] == "photos"
    assert service.post("/v1/search", params={"gallery": "again"}, files=files).json()["gallery"] == "again"
    unknown = service.post("/v1/search", params={"gallery": "none"}, files=files)
    assert unknown.status_code == 404
    assert "photos, again" in unknown.json()["detail"]


@pytest.mark.parametrize(
    ("path", "field", "content", "message"),
    [
        ("/v1/search", "sketch", b"", "empty"),
        ("/v1/search", "sketch", b"hello", "not a picture"),
        ("/v1/search", "sketch", b"\x89PNG\r\n\x1a\n" + b"\0" * 500, "not a picture"),
        ("/v1/search", "sketch", b'{"drawing": "none"}', "not strokes"),
        ("/v1/search", "sketch", BLANK, "blank"),
        ("/v1/search/photo", "photo", b"hello", "cannot be read"),
    ],
)
def test_a_sketch_or_photo_that_cannot_be_used_is_refused(service, path, field, content, message):
    refused = service.post(path, files={field: content})
    assert refused.status_code == 400
    assert message in refused.json()["detail"]


@pytest.mark.parametrize(
    ("path", "request_", "name"),
    [
        ("/v1/search?k=0", {"files": {"sketch": b"x"}}, "k"),
        ("/v1/search?k=100000", {"files": {"sketch": b"x"}}, "k"),
        ("/v1/search?unknown=1", {"files": {"sketch": b"x"}}, "unknown"),
        ("/v1/search", {"data": {"text": "x" * 501}}, "text"),
        ("/v1/search", {"files": {"image": b"x"}, "data": {"text": "a cat"}}, "image"),
        ("/v1/search", {"data": {"sketch": "sketch.png"}}, "sketch"),
        ("/v1/search/photo", {"files": {"image": b"x"}}, "photo"),
        ("/v1/search/strokes", {"json": {"strokes": [[[0, 0, 0]]]}}, "strokes.0.0"),
        ("/v1/search/strokes", {"content": b"{"}, "body"),
    ],
)
def test_arguments_that_cannot_be_used_are_named_in_one_text(service, path, request_, name):
    refused = service.post(path, **request_)
    assert refused.status_code == 422
    assert re.fullmatch(rf"{re.escape(name)}: [A-Z][^\n]{{1,150}}\.", refused.json()["detail"])
    schemas = service.get("/openapi.json").json()["paths"][path.partition("?")[0]]["post"]["responses"]["422"]
    assert schemas["content"]["application/json"]["schema"]["$ref"].endswith("/Problem")


@pytest.mark.parametrize("route", ["{}", "{}/thumbnail", "{}/similar"])
@pytest.mark.parametrize("name", [NO_PHOTO, "..%2f..%2f..%2fetc%2fpasswd", "%2fetc%2fpasswd", "00.png", "PATH"])
def test_only_photos_of_the_gallery_are_read(service, photos, route, name):
    name = str(photos / "00.png").replace("/", "%2f") if name == "PATH" else name
    answer = service.get("/v1/photos/" + route.format(name))
    assert answer.status_code in (404, 422)
    assert "root:" not in answer.text


def test_a_gallery_that_is_moved_away_is_reported_without_its_path_and_the_others_are_served(
    serve, searcher, gallery, photos, drawing, tmp_path, monkeypatch
):
    monkeypatch.setattr("caan_hf.gallery.lance_table.FRESHNESS", timedelta(0))
    place, away = tmp_path / "gallery", tmp_path / "away"
    own = Gallery.create(place, model=gallery.encoder)
    own.add(photos)
    with serve({"photos": searcher, "own": Searcher(Gallery.open(place, model=gallery.encoder))}) as client:
        request = {"params": {"gallery": "own", "k": 3}, "files": {"sketch": drawing.read_bytes()}}
        found = paths(client.post("/v1/search", **request))
        id = client.post("/v1/search", **request).json()["results"][0]["id"]
        place.rename(away)
        answers = [
            client.post("/v1/search", **request),
            client.post("/v1/search", params={"gallery": "own", "rerank": False}, files=request["files"]),
            client.get(f"/v1/photos/{id}", params={"gallery": "own"}),
            client.get(f"/v1/photos/{id}/similar", params={"gallery": "own"}),
        ]
        assert [answer.status_code for answer in answers] == [503] * 4
        assert {answer.json()["detail"] for answer in answers} == {"the gallery is not there any more."}
        assert [one["photos"] for one in client.get("/v1/galleries").json()] == [30, None]
        assert 'gallery="own"} NaN' in client.get("/metrics").text
        assert len(paths(client.post("/v1/search", files=request["files"]))) == 10
        away.rename(place)
        assert paths(client.post("/v1/search", **request)) == found

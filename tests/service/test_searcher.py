"""Searching for a drawing on the server, without a browser."""

import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from photos import encoded
from PIL import Image, ImageDraw

from caan_hf.encoding.text_encoder import TextEncoder
from caan_hf.errors import CaanError
from caan_hf.gallery import Gallery
from caan_hf.service.searcher import MAX_FILE_BYTES, GalleryProblemError, Searcher, prepare_drawing
from caan_hf.sketches_caan import clean_sketch


def sketch_of(image: Image.Image) -> Image.Image:
    return clean_sketch(image, 0.1)


def test_results_and_pictures_are_those_of_the_gallery(searcher, gallery, drawing):
    found = searcher.search(drawing.read_bytes(), 7)
    assert [result.path for result in found.results] == [result.path for result in gallery.search(drawing, k=7)]
    assert found.num_photos == 30
    assert set(found.seconds) == {"read", "encode", "search", "pictures"}
    for picture, result in zip(found.pictures, found.results, strict=True):
        photo = np.asarray(gallery.photo(result), float).mean(axis=(0, 1))
        assert np.abs(np.asarray(picture, float).mean(axis=(0, 1)) - photo).max() < 4


def test_without_thumbnails_the_photos_are_shown(checkpoint, photos, drawing, tmp_path):
    copies = tmp_path / "photos"
    copies.mkdir()
    for file in sorted(photos.iterdir())[:3]:
        (copies / file.name).write_bytes(file.read_bytes())
    gallery = Gallery.create(tmp_path / "gallery", model=str(checkpoint), device="cpu")
    gallery.add(copies, thumbnail=0)
    searcher = Searcher(gallery)
    assert {picture.size for picture in searcher.search(drawing.read_bytes(), 3).pictures} == {(60, 40)}
    next(copies.iterdir()).unlink()  # the others are still shown
    assert len(searcher.search(drawing.read_bytes(), 3).pictures) == 3


def test_large_files_and_pictures_are_refused():
    with pytest.raises(CaanError, match="larger than 8 MB"):
        prepare_drawing(b"\0" * (MAX_FILE_BYTES + 1), sketch_of)
    with pytest.raises(CaanError, match="6000 x 5000 pixels"):
        prepare_drawing(encoded(Image.new("1", (6000, 5000), 1)), sketch_of)
    frames = [Image.new("1", (4000, 4000), 1) for _ in range(8)]
    animation = encoded(frames[0], "TIFF", save_all=True, append_images=frames[1:], compression="group4")
    with pytest.raises(CaanError, match=r"4000 x 4000 pixels in 8 frames.* Reduce"):
        prepare_drawing(animation, sketch_of)


def scan(kind: str) -> bytes:
    """A file of a fine drawing on a large grey page, of which little would be left if the page were resized first."""
    page = Image.new("L", (2600, 1900), 215)
    draw = ImageDraw.Draw(page)
    for x, y in ((300, 300), (1400, 250), (800, 1200)):
        draw.ellipse((x, y, x + 600, y + 500), outline=90, width=3)
    draw.line((200, 1700, 2400, 1500), fill=120, width=2)
    return encoded(page.convert("RGB"), kind)


STROKES = b'{"drawing": [[[0, 90, 40, 0], [0, 0, 80, 0]], [[10, 60], [20, 20]]]}'


@pytest.mark.parametrize("drawing", [scan("PNG"), scan("JPEG"), STROKES], ids=["large PNG", "large JPEG", "strokes"])
def test_the_results_for_a_file_are_those_of_the_command_line(searcher, gallery, tmp_path, drawing):
    (tmp_path / "drawing").write_bytes(drawing)
    found = searcher.search(drawing, 30).results
    expected = gallery.search(tmp_path / "drawing", k=30)
    assert [one.path for one in found] == [one.path for one in expected]
    assert [one.fused_score for one in found] == pytest.approx([one.fused_score for one in expected], abs=1e-5)
    assert searcher.clean(drawing) == gallery.encode_sketch(tmp_path / "drawing").image


def test_a_drawing_is_opened_and_cleaned_once(searcher, drawing, calls):
    answer = searcher.search(drawing.read_bytes(), 3, pictures=False)
    assert calls == {"open": 1, "clean": 1}
    searcher.explain(answer.sketch, answer.results[0])
    assert calls == {"open": 2, "clean": 1}  # the photo


def test_the_text_tower_is_loaded_once_with_the_first_words(text_searcher, drawing, monkeypatch):
    loaded = []
    load = TextEncoder.load
    monkeypatch.setattr(TextEncoder, "load", lambda folder: (loaded.append(folder), load(folder))[1])
    place = text_searcher.gallery.encoder.name
    searcher = Searcher(Gallery.open(text_searcher.gallery.table.uri, model=place, device="cpu"))
    searcher.search(drawing.read_bytes(), 3)
    assert loaded == []
    with ThreadPoolExecutor(8) as threads:
        texts = ["two dogs", "a cat"] * 8
        answers = list(threads.map(lambda text: searcher.search(None, 3, text=text), texts))
    assert len(loaded) == 1
    assert answers[0].sketch is None
    for answer, text in zip(answers, texts, strict=True):
        assert [one.path for one in answer.results] == [one.path for one in searcher.search(None, 3, text=text).results]


def test_a_text_tower_that_cannot_be_loaded_is_reported_without_its_path(text_searcher, drawing, tmp_path, caplog):
    model = tmp_path / "model"
    shutil.copytree(text_searcher.gallery.encoder.name, model)
    (model / "text" / "text.safetensors").write_bytes(b"damaged")
    searcher = Searcher(Gallery.open(text_searcher.gallery.table.uri, model=str(model), device="cpu"))
    with pytest.raises(GalleryProblemError, match=r"text tower cannot be loaded.*sketch") as error:
        searcher.search(drawing.read_bytes(), 3, text="two dogs")
    assert str(tmp_path) not in str(error.value)
    assert str(model) in caplog.text
    assert len(searcher.search(drawing.read_bytes(), 3).results) == 3


def test_an_empty_gallery_is_reported_without_its_path(checkpoint, drawing, tmp_path):
    empty = Gallery.create(tmp_path / "gallery", model=str(checkpoint), device="cpu")
    with pytest.raises(CaanError, match="the gallery is empty") as error:
        Searcher(empty).search(drawing.read_bytes(), 3)
    assert str(tmp_path) not in str(error.value)


MEMORY = """
import resource, sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from caan_hf.service.searcher import prepare_drawing
from caan_hf.sketches_caan import clean_sketch

def prepare(content):
    prepare_drawing(content, lambda image: clean_sketch(image, 0.1))

content = Path(sys.argv[1]).read_bytes()
for number in (1, 6):
    with ThreadPoolExecutor(number) as pool:
        list(pool.map(prepare, [content] * number))
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
"""


def test_many_large_drawings_at_once_take_little_memory(tmp_path):
    large = tmp_path / "large.png"
    drawing = Image.new("RGBA", (4000, 3000), (0, 0, 0, 0))
    ImageDraw.Draw(drawing).rectangle((1000, 800, 3000, 2200), outline=(0, 0, 0, 255), width=30)
    drawing.save(large, compress_level=1)
    done = subprocess.run([sys.executable, "-c", MEMORY, large], check=True, capture_output=True, text=True)
    one, six = map(int, done.stdout.split())
    assert six - one < 300  # MiB; each takes 200

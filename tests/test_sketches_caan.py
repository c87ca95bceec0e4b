"""Cleaning of sketches: what each kind of drawing, paper and photo of a page becomes."""

import subprocess
import sys

import numpy as np
import pytest
from drawings import KINDS
from hypothesis import given, settings
from hypothesis import strategies as st
from line_drawings import drawing, grey, ink_box, on_transparency
from PIL import Image, ImageDraw, PngImagePlugin

from caan_hf.benchmarks.sample import draw_object
from caan_hf.sketches_caan import MIN_LINE, clean_sketch, is_blank


def test_sketch_is_cropped_to_its_ink_with_a_margin_and_padded_to_a_square():
    clean = clean_sketch(drawing(box=(20, 20, 60, 50)), margin=0.1)  # 41 wide, 31 high
    assert clean.mode == "RGB"
    assert clean.size == (49, 49)  # 41 + 2 * round(4.1)
    assert ink_box(clean) == (9, 39, 4, 44)
    assert grey(clean)[0].min() == 255


@settings(max_examples=50, deadline=None)
@given(
    left=st.integers(0, 60),
    top=st.integers(0, 60),
    width=st.integers(4, 38),
    height=st.integers(4, 38),
    margin=st.floats(0, 0.5),
)
def test_ink_keeps_its_size_and_aspect_wherever_it_lies(left, top, width, height, margin):
    image = Image.new("L", (100, 100), 255)
    image.paste(0, (left, top, left + width, top + height))
    clean = clean_sketch(image, margin)
    first_row, last_row, first_column, last_column = ink_box(clean)
    longer = max(width, height, round(100 / 8))
    assert clean.width == clean.height == longer + 2 * round(longer * margin)
    assert (last_column - first_column + 1, last_row - first_row + 1) == (width, height)
    assert abs((first_row + last_row) - (clean.height - 1)) <= 1
    assert abs((first_column + last_column) - (clean.width - 1)) <= 1


@pytest.mark.parametrize("source", [drawing(ink=255, paper=0), drawing(ink=250, paper=40).convert("RGBA")])
def test_light_lines_on_dark_ground_are_inverted(source):
    np.testing.assert_allclose(grey(clean_sketch(source, 0.1)), grey(clean_sketch(drawing(), 0.1)), atol=6)


@pytest.mark.parametrize("ink", [(255, 255, 255), (250, 250, 250), (255, 255, 200), (0, 0, 0)])
@pytest.mark.parametrize("premultiplied", [False, True])
def test_lines_on_transparency_are_drawn_dark(ink, premultiplied):
    image = on_transparency(ink)
    if premultiplied:
        image = image.convert("LA").convert("La")
    np.testing.assert_array_equal(grey(clean_sketch(image, 0.1)), grey(clean_sketch(drawing(), 0.1)))


def test_white_lines_on_a_transparent_palette_are_found(tmp_path):
    image = Image.new("P", (100, 80), 0)
    image.putpalette([255, 255, 255] * 2)
    ImageDraw.Draw(image).rectangle((20, 20, 60, 50), outline=1, width=3)
    image.save(tmp_path / "palette.png", transparency=0)
    np.testing.assert_array_equal(grey(clean_sketch(tmp_path / "palette.png", 0.1)), grey(clean_sketch(drawing(), 0.1)))


@pytest.mark.parametrize(
    "image",
    [
        Image.new("RGB", (32, 32), "white"),
        Image.new("RGB", (32, 32), "black"),
        Image.new("L", (32, 32), 130),
        Image.new("RGBA", (32, 32), (0, 0, 0, 0)),
        Image.new("RGBA", (32, 32), (255, 255, 255, 255)),
        Image.new("L", (1, 1), 0),
    ],
    ids=["white", "black", "grey", "transparent", "opaque", "one pixel"],
)
def test_sketch_without_ink_is_refused_by_name(tmp_path, image):
    image.save(tmp_path / "empty.png")
    with pytest.raises(ValueError, match=r"empty\.png: the sketch is blank"):
        clean_sketch(tmp_path / "empty.png", 0.1)
    with pytest.raises(ValueError, match="image: the sketch is blank"):
        clean_sketch(np.asarray(image), 0.1)


@pytest.mark.parametrize("place", [(0, 0), (40, 30), (99, 79)])
def test_single_pixel_of_ink_stays_a_dot_in_the_middle(place):
    image = Image.new("L", (100, 80), 255)
    image.putpixel(place, 0)
    clean = clean_sketch(image, 0.1)
    assert (grey(clean) < 128).sum() == 1
    assert clean.width == 14  # an eighth of the page and its margins
    assert abs(ink_box(clean)[0] - clean.height // 2) <= 1


@pytest.mark.parametrize(("size", "line"), [((2000, 20), (10, 10, 1990, 10)), ((9, 1500), (4, 5, 4, 1490))])
def test_extreme_aspect_is_kept(size, line):
    image = Image.new("L", size, 255)
    ImageDraw.Draw(image).line(line, fill=0)
    clean = clean_sketch(image, 0)
    first_row, last_row, first_column, last_column = ink_box(clean)
    assert clean.width == clean.height
    thin, long = sorted((last_row - first_row + 1, last_column - first_column + 1))
    assert long == clean.width
    assert thin / long == pytest.approx(MIN_LINE, abs=2 / long)  # a line of one pixel is thickened


def test_noisy_scan_is_cropped_to_its_drawing_on_white():
    noise = np.random.default_rng(0).normal(0, 5, (80, 100))
    scan = Image.fromarray((grey(drawing(ink=60, paper=210)) + noise).clip(0, 255).astype(np.uint8))
    clean = clean_sketch(scan, 0.1)
    assert clean.size == clean_sketch(drawing(), 0.1).size
    assert grey(clean)[15:30, 10:35].mean() > 245  # inside the rectangle: grey paper turned white


def test_faint_pencil_is_found():
    clean = clean_sketch(drawing(ink=200, paper=250), 0.1)
    assert clean.size == clean_sketch(drawing(), 0.1).size


def test_cleaning_a_clean_sketch_changes_nothing():
    once = clean_sketch(drawing(), 0.08)
    np.testing.assert_array_equal(np.asarray(clean_sketch(once, 0.08)), np.asarray(once))


def test_source_image_is_left_as_it_was():
    image = on_transparency((255, 255, 255))
    before = image.tobytes()
    clean_sketch(image, 0.1)
    assert (image.mode, image.tobytes()) == ("RGBA", before)


def test_a_png_with_text_chunks_is_read(tmp_path):
    info = PngImagePlugin.PngInfo()
    info.add_text("comment", "hello")
    drawing().save(tmp_path / "text.png", pnginfo=info)
    assert clean_sketch(tmp_path / "text.png", 0.1).size == (49, 49)


DRAWN = [draw_object(name, "sketch", seed=1, index=2, image_size=256) for name in ("bicycle", "teapot")]
THICK = {"8 px on 256 px", "14 px on 256 px"}  # details run together, so that their lines lie elsewhere


def lines_seen(source) -> np.ndarray:
    """What a model sees, blurred by two pixels of 96."""
    return 255 - grey(clean_sketch(source, 0.08).resize((96, 96), Image.Resampling.BOX).resize((24, 24)))


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in THICK])
def test_a_drawing_is_seen_alike_on_any_paper_with_any_pen_and_in_any_light(kind):
    for number, sketch in enumerate(DRAWN):
        redrawn = KINDS[kind](sketch, np.random.default_rng(number))
        expected, found = lines_seen(sketch), lines_seen(redrawn)
        assert np.corrcoef(expected.ravel(), found.ravel())[0, 1] > 0.75, number


def test_a_round_outline_that_touches_the_border_is_no_frame():
    face = Image.new("L", (200, 200), 255)
    draw = ImageDraw.Draw(face)
    draw.ellipse((0, 0, 199, 199), outline=0, width=4)
    for left in (60, 120):
        draw.ellipse((left, 60, left + 20, 85), fill=0)
    draw.arc((60, 80, 140, 150), 20, 160, fill=0, width=4)
    np.testing.assert_array_equal(grey(clean_sketch(face, 0)), grey(face))


def test_an_outline_alone_is_a_drawing_and_no_frame():
    door = Image.new("L", (100, 160), 255)
    ImageDraw.Draw(door).rectangle((0, 0, 99, 159), outline=0, width=3)
    assert ink_box(clean_sketch(door, 0))[:2] == (0, 159)


def test_a_filled_shape_is_not_the_paper():
    shape = Image.new("L", (200, 200), 255)
    ImageDraw.Draw(shape).regular_polygon((100, 105, 115), 3, fill=0)  # 43 % of the picture, more of its middle
    clean = grey(clean_sketch(shape, 0))
    assert clean[clean.shape[0] // 2, clean.shape[1] // 2] == 0
    assert clean[2, 2] == 255


def inked_share(image: Image.Image) -> float:
    return float((grey(clean_sketch(image, 0)) < 128).mean())


@pytest.mark.parametrize("name", ["disc", "square", "camera", "tall"])
def test_a_large_filled_shape_on_white_is_dark_itself_and_no_page(name):
    shape = Image.new("L", (200, 300 if name == "tall" else 200), 255)
    draw = ImageDraw.Draw(shape)
    if name == "disc":
        draw.ellipse((2, 2, 198, 198), fill=0)
    else:
        draw.rectangle((10, 10, shape.width - 10, shape.height - 10), fill=0)
    if name == "camera":
        draw.ellipse((60, 60, 140, 140), fill=255)
    expected = {"disc": np.pi / 4, "square": 1, "camera": 1 - np.pi / 4 * (81 / 181) ** 2, "tall": 181 / 281}
    assert inked_share(shape) == pytest.approx(expected[name], abs=0.03)


def test_a_dark_canvas_in_a_light_window_is_a_page():
    window = Image.new("L", (400, 300), 255)
    window.paste(drawing(size=(300, 260), box=(60, 60, 200, 180), ink=255, paper=0), (50, 20))
    np.testing.assert_array_equal(
        grey(clean_sketch(window, 0)), grey(clean_sketch(drawing((300, 260), (60, 60, 200, 180)), 0))
    )


@pytest.mark.parametrize("noise", [0, 4])
def test_a_light_page_that_covers_a_quarter_of_a_dark_ground_is_found(noise):
    page = drawing(size=(200, 150), box=(40, 30, 160, 120), paper=245)
    ground = np.full((300, 400), 60.0)
    ground[100:250, 60:260] = grey(page)
    ground += np.random.default_rng(0).normal(0, noise, ground.shape)
    seen = clean_sketch(Image.fromarray(ground.clip(0, 255).astype(np.uint8)), 0)
    assert seen.size == clean_sketch(page, 0).size
    assert (grey(seen) < 128).mean() < 0.2


def test_eyes_beside_the_drawing_belong_to_it():
    face = Image.new("L", (400, 400), 255)
    draw = ImageDraw.Draw(face)
    draw.arc((60, 150, 340, 330), 20, 160, fill=0, width=4)
    for left in (80, 300):
        draw.ellipse((left, 100, left + 12, 112), fill=0)
    seen = grey(clean_sketch(face, 0))
    assert (seen[:20] < 128).any()  # the eyes are highest
    assert (seen[-20:] < 128).any()


@pytest.mark.parametrize("pencil", [False, True], ids=["hand", "hand with pencil"])
def test_a_hand_that_reaches_into_the_picture_is_left_out(pencil):
    page = Image.new("RGB", (400, 500), (245, 243, 238))
    ImageDraw.Draw(page).rectangle((60, 60, 220, 200), outline=(40, 40, 60), width=4)
    alone = grey(clean_sketch(page, 0.1))
    draw = ImageDraw.Draw(page)
    draw.polygon([(400, 375), (290, 310), (250, 330), (265, 390), (290, 500), (400, 500)], fill=(205, 150, 120))
    if pencil:
        draw.line((260, 300, 350, 450), fill=(20, 20, 20), width=12)
    np.testing.assert_allclose(grey(clean_sketch(page, 0.1)), alone, atol=30)


def test_a_filled_shape_that_runs_out_of_the_picture_is_kept():
    house = Image.new("L", (200, 200), 255)
    draw = ImageDraw.Draw(house)
    draw.polygon([(20, 90), (100, 20), (180, 90), (180, 200), (20, 200)], fill=0)
    draw.line((130, 40, 130, 5), fill=0, width=4)
    assert inked_share(house) > 0.5


def test_specks_outside_the_drawing_do_not_change_what_is_seen():
    dusty = drawing()
    for place in ((1, 1), (98, 3), (90, 70)):
        dusty.putpixel(place, 0)
    np.testing.assert_array_equal(grey(clean_sketch(dusty, 0.1)), grey(clean_sketch(drawing(), 0.1)))


def test_a_thin_line_is_thickened_and_a_thick_one_is_left():
    for side, pen in ((800, 1), (800, 20)):
        image = Image.new("L", (side, side), 255)
        ImageDraw.Draw(image).rectangle((100, 100, 700, 700), outline=0, width=pen)
        row = grey(clean_sketch(image, 0))[300]
        width = np.argmax(row > 128)
        assert width == (pen if pen > 1 else pytest.approx(MIN_LINE * 600, abs=1))


def test_of_several_frames_the_first_is_used_unless_it_is_blank(tmp_path):
    blank, first, second = Image.new("L", (100, 80), 255), drawing(), drawing(box=(5, 5, 95, 75))
    first.save(tmp_path / "drawn.gif", save_all=True, append_images=[second])
    blank.save(tmp_path / "grows.gif", save_all=True, append_images=[first, second])
    blank.save(tmp_path / "blank.gif", save_all=True, append_images=[Image.new("L", (100, 80), 250)])
    for file, expected in (("drawn.gif", first), ("grows.gif", second)):
        np.testing.assert_allclose(grey(clean_sketch(tmp_path / file, 0)), grey(clean_sketch(expected, 0)), atol=2)
        assert not is_blank(Image.open(tmp_path / file))
    assert is_blank(Image.open(tmp_path / "blank.gif"))
    with pytest.raises(ValueError, match=r"blank\.gif: the sketch is blank"):
        clean_sketch(tmp_path / "blank.gif", 0)


@settings(max_examples=150, deadline=None)
@given(
    size=st.tuples(st.integers(1, 300), st.integers(1, 300)),
    coarse=st.integers(1, 40),
    texture=st.integers(0, 255),
    seed=st.integers(0, 99),
)
def test_a_sketch_is_blank_exactly_if_it_cannot_be_cleaned(size, coarse, texture, seed):
    rng = np.random.default_rng(seed)
    light = rng.integers(0, 256, (coarse, coarse, 3), dtype=np.uint8)  # as uneven as no paper is
    page = np.asarray(Image.fromarray(light).resize(size, Image.Resampling.BICUBIC), dtype=float)
    page = Image.fromarray((page + texture * rng.standard_normal((*size[::-1], 1))).clip(0, 255).astype(np.uint8))
    try:
        clean_sketch(page, 0)
    except ValueError as error:
        assert "blank" in str(error)
        assert is_blank(page)
    else:
        assert not is_blank(page)


def test_a_heic_drawing_is_read_in_a_process_that_has_read_no_photo(tmp_path):
    pillow_heif = pytest.importorskip("pillow_heif")
    pillow_heif.from_pillow(drawing().convert("RGB")).save(tmp_path / "drawing.heic", quality=100)
    code = "import sys; from caan_hf.sketches_caan import clean_sketch; print(clean_sketch(sys.argv[1], 0).size)"
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "drawing.heic")], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "(41, 41)"


def test_a_spiral_is_one_part():
    angles = np.linspace(0, 12 * np.pi, 600)
    points = [(128 + 3 * angle * np.cos(angle), 128 + 3 * angle * np.sin(angle)) for angle in angles]
    image = Image.new("L", (256, 256), 255)
    ImageDraw.Draw(image).line(points, fill=0, width=2)
    top, bottom, left, right = ink_box(image)
    clean = clean_sketch(image, 0)
    assert clean.width == max(bottom - top, right - left) + 1
    assert (grey(clean) < 128).sum() >= (grey(image) < 128).sum()

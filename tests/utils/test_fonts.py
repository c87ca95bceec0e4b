import unicodedata

import pytest
from PIL import Image, ImageDraw

from caan_hf.utils.fonts import font, in_font


def drawn(text: str) -> bytes:
    picture = Image.new("L", (60, 40))
    ImageDraw.Draw(picture).text((5, 5), text, 255, font(20))
    return picture.tobytes()


@pytest.mark.parametrize("letter", "äöüßéåñøłžçşğЯжΩλ")
def test_letters_of_file_names_are_not_boxes(letter):
    assert drawn(letter) != drawn("\uffff")  # what the font draws for a letter that it lacks
    assert in_font(letter) == letter


def test_letters_that_the_font_lacks_are_replaced():
    assert in_font("猫 cat.jpg") == "? cat.jpg"


def test_names_of_macos_with_separate_accents_are_joined():
    assert in_font(unicodedata.normalize("NFD", "Küche.jpg")) == "Küche.jpg"

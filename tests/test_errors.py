"""Messages of errors are one line, whatever names they hold."""

import pytest

from caan_hf import CaanError


@pytest.mark.parametrize("character", ["\n", "\r", "\x1b", "\x9b", "\u2028", "\0"], ids=ascii)
def test_control_characters_are_escaped(character):
    message = str(CaanError(f"a{character}b.png: not an image. Remove it."))
    assert message.isprintable()
    assert message.endswith("b.png: not an image. Remove it.")


def test_names_in_any_script_stay_as_they_are():
    assert str(CaanError("Zeichnungen/Tür 門.png: not an image.")) == "Zeichnungen/Tür 門.png: not an image."


def test_the_traceback_of_a_worker_is_left_out():
    message = (
        'Caught CaanError in worker.\nOriginal Traceback:\n  File "x"\ncaan_hf.errors.CaanError: a.png: no image.\n'
    )
    assert str(CaanError(message)) == "a.png: no image."

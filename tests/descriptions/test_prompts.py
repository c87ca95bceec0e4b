"""The questions."""

import pytest

from caan_hf.descriptions.options import DescribeOptions
from caan_hf.descriptions.prompts import PLAIN, PROMPTS, matches
from caan_hf.errors import CaanError


@pytest.mark.parametrize(
    ("category", "text"),
    [
        ("cat", "a photo of a cat"),
        ("alarm_clock", "a photo of an alarm clock"),
        ("hot-air_balloon", "a photo of a hot-air balloon"),
        ("car_(sedan)", "a photo of a car (sedan)"),
        ("mouse (animal)", "a photo of a mouse (animal)"),
        ("hourglass", "a photo of an hourglass"),
        ("umbrella", "a photo of an umbrella"),
        ("unicorn", "a photo of a unicorn"),
        ("head-phones", "a photo of a pair of head-phones"),
        ("armor", "a photo of armor"),
        ("moon", "a photo of the moon"),
        ("the eiffel tower", "a photo of the eiffel tower"),
        ("euphonium", "a photo of a euphonium"),
        ("ewer", "a photo of a ewer"),
        ("grass", "a photo of grass"),
        ("flip_flops", "a photo of a pair of flip flops"),
    ],
)
def test_the_plain_template(category, text):
    assert PLAIN.ask(category) == text


def test_every_prompt_asks_about_the_category():
    asked = [prompt.ask("alarm_clock") for prompt in PROMPTS]
    assert all("an alarm clock" in question and question.endswith("?") for question in asked)
    assert len({prompt.id for prompt in PROMPTS}) == len(asked) >= 5


def test_prompts_are_chosen_by_name_or_id_in_their_own_order():
    chosen = DescribeOptions("m", prompts="outline@1, shape").chosen_prompts()
    assert [prompt.name for prompt in chosen] == ["shape", "outline"]
    assert DescribeOptions("m").chosen_prompts() == PROMPTS
    with pytest.raises(CaanError, match="no prompt is called 'shade'"):
        DescribeOptions("m", prompts="shade")


def test_a_name_matches_any_version_and_an_id_only_its_own():
    assert matches("shape@2", "shape")
    assert matches("shape@2", "shape@2")
    assert not matches("shape@2", "shape@1")

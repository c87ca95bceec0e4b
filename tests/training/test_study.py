"""The file of a study: what it may say."""

import pytest

from caan_hf.errors import CaanError
from caan_hf.training.study import load_study


def test_an_axis_is_a_key_with_values_or_labels_with_changes(study_file):
    study = load_study(study_file(judge_on=["test", "test"]))
    assert study.axes == {
        "text": {"No text!": {"model.text": None}, "plain": {"data.prompts": ["plain"]}},
        "training.learning_rate": {
            "0.001": {"training.learning_rate": 0.001},
            "0.002": {"training.learning_rate": 0.002},
        },
    }
    assert study.seeds == (0, 1)
    assert study.judge_on == ("test",)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"grid": None}, "'grid' is missing; a study has at least recipe, output_dir and grid"),
        ({"grid": {"x": []}}, "grid.x is empty"),
        ({"grid": {"x": 3}}, "grid.x is 3, expected a mapping"),
        ({"grid": {"training.seed": [1, 2]}}, "training.seed is set for each run from the study's 'seeds'"),
        ({"changes": {"training.output_dir": "x"}}, "set for each run from the study's 'output_dir'"),
        (
            {"grid": {"model.lambda_rn": [1], "what": {"a": {"model.lambda_rn": 2}}}},
            "model.lambda_rn is changed by both model.lambda_rn and what",
        ),
        ({"rerank": 3}, "unknown key 'rerank'; a study has recipe, output_dir, grid, changes, seeds and judge_on"),
        ({"seeds": ["one"]}, "expected a list of whole numbers"),
        ({"seeds": 3}, "expected a list of whole numbers"),
        ({"recipe": ["a"]}, "recipe is .*, expected text"),
        ({"output_dir": ["a"]}, "output_dir is .*, expected text"),
        ({"judge_on": ["train"]}, "judge_on is"),
        ({"judge_on": [["test"]]}, "judge_on is"),
        ({"judge_on": "validation"}, "expected a list of validation and test"),
    ],
)
def test_a_file_that_says_something_else_is_one_clear_error(study_file, changes, message):
    with pytest.raises(CaanError, match=message):
        load_study(study_file(**changes))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("- a", "not a mapping, expected a study, or the name of one"),
        ("5: 1\nx: 1", "unknown key '5'"),
        ("a: [", "not a study, or the name of one"),
    ],
)
def test_a_file_that_is_no_study_is_one_clear_error(tmp_path, text, message):
    file = tmp_path / "study.yaml"
    file.write_text(text)
    with pytest.raises(CaanError, match=message):
        load_study(file)

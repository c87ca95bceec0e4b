"""Reading study files."""

import pytest

from caan_hf.errors import CaanError
from caan_hf.research.study import load_study


def test_an_axis_is_a_key_with_values_or_labels_with_changes(study_file):
    study = load_study(study_file(splits=["test", "test"]))
    assert study.grid == {
        "text": {"No text!": {"model.text": None}, "plain": {"data.prompts": ["plain"]}},
        "training.learning_rate": {
            "0.001": {"training.learning_rate": 0.001},
            "0.002": {"training.learning_rate": 0.002},
        },
    }
    assert study.seeds == (0, 1)
    assert study.splits == ("test",)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"grid": None}, "grid: "),
        ({"grid": {"x": []}}, "grid.x: "),
        ({"grid": {"x": 3}}, "grid.x: "),
        ({"grid": {"training.seed": [1, 2]}}, "training.seed is set for each run from the study's 'seeds'"),
        ({"changes": {"training.output_dir": "x"}}, "set for each run from the study's 'output_dir'"),
        (
            {"grid": {"model.lambda_rn": [1], "what": {"a": {"model.lambda_rn": 2}}}},
            "model.lambda_rn is changed by both model.lambda_rn and what",
        ),
        ({"rerank": 3}, "rerank: .* A study has the keys recipe, output_dir, grid, changes, seeds, splits"),
        ({"seeds": ["one"]}, "seeds.0: .*integer"),
        ({"seeds": 3}, "seeds: "),
        ({"recipe": ["a"]}, "recipe: "),
        ({"output_dir": ["a"]}, "output_dir: "),
        ({"splits": ["train"]}, "splits.0: "),
        ({"splits": [["test"]]}, "splits.0: "),
        ({"splits": "validation"}, "splits: "),
    ],
)
def test_invalid_content_is_an_error_that_names_the_key(study_file, changes, message):
    with pytest.raises(CaanError, match=message):
        load_study(study_file(**changes))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("- a", "not a mapping.*Give a YAML study"),
        ("5: 1\nx: 1", "study.yaml: "),
        ("a: [", "Give a YAML study"),
    ],
)
def test_a_file_that_is_not_a_study_is_an_error(tmp_path, text, message):
    file = tmp_path / "study.yaml"
    file.write_text(text)
    with pytest.raises(CaanError, match=message):
        load_study(file)

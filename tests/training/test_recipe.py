import pytest

from caan_hf import CaanError
from caan_hf.training.recipe import load_recipe, shipped_recipes, training_arguments
from caan_hf.training.trainer import CaanTrainingArguments

RECIPE = """
model:
  vision: google/vit-base-patch16-224
  image_size: 64
  lambda_con: 1
data:
  path: data/sample
training:
  output_dir: runs/x
  learning_rate: 1e-4
  eval_strategy: no
"""


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "recipe.yaml"
    path.write_text(RECIPE, encoding="utf-8")
    return path


def test_sections_are_read(file):
    recipe = load_recipe(file)
    assert recipe.model.vision == "google/vit-base-patch16-224"
    assert recipe.model.config == {"image_size": 64, "lambda_con": 1}
    assert recipe.data.path == "data/sample"
    assert recipe.training["learning_rate"] == 1e-4
    assert recipe.training["eval_strategy"] == "no"


def test_words_change_the_recipe(file):
    words = ["model.text=null", "training.learning_rate=3e-5", "data.augment=false", "model.vision.model_type=vit"]
    recipe = load_recipe(file, words[:3])
    assert recipe.model.text is None
    assert recipe.training["learning_rate"] == 3e-5
    assert recipe.data.augment is False
    with pytest.raises(CaanError, match="single value"):
        load_recipe(file, words)


def test_a_saved_recipe_reads_back_the_same(file, tmp_path):
    import yaml

    recipe = load_recipe(file, ["model.relation_hidden_sizes=[8, 4]"])
    again = tmp_path / "again.yaml"
    again.write_text(yaml.safe_dump(recipe.to_dict()), encoding="utf-8")
    assert load_recipe(again) == recipe


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("model.lamda_con=1", "did you mean lambda_con"),
        ("training.learning_rat=1", "did you mean learning_rate"),
        ("data.augmen=true", "did you mean augment"),
        ("extra.key=1", "unknown section 'extra'"),
        ("learning_rate=1", "look like"),
        ("training.seed", "look like"),
        ("model.text=[", "not YAML"),
    ],
)
def test_unknown_keys_are_refused_with_a_hint(file, word, message):
    with pytest.raises(CaanError, match=message):
        load_recipe(file, [word])


@pytest.mark.parametrize("text", ["model: [", "- a\n- b", "model: 3"])
def test_what_is_no_recipe_is_refused_by_name(tmp_path, text):
    path = tmp_path / "broken.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(CaanError, match=r"broken\.yaml"):
        load_recipe(path)


def test_a_missing_recipe_lists_those_that_ship():
    with pytest.raises(CaanError, match="quickstart"):
        load_recipe("nowhere.yaml")


def test_shipped_recipes_are_whole():
    assert {"paper", "quickstart", "sketchy-mini", "caan-vit-tiny-sketchy", "zse-sbir"} <= set(shipped_recipes())
    for name in shipped_recipes():
        recipe = load_recipe(name, ["training.use_cpu=true", "training.bf16=false"])
        arguments = training_arguments(recipe)
        assert arguments.eval_strategy == "no" or arguments.metric_for_best_model == "mAP@all"


def test_a_value_that_the_trainer_refuses_is_one_line(file):
    with pytest.raises(CaanError, match="section training") as error:
        training_arguments(load_recipe(file, ["training.eval_strategy=sometimes"]))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("training.learning_rate=fast", r"training.learning_rate is 'fast', expected a number"),
        ("training.tower_learning_rate=fast", "expected a number or null"),
        ("training.num_train_epochs=abc", "expected a number"),
        ("training.max_steps=1.5", "expected a whole number"),
        ("training.seed=-1", "training.seed is -1, expected at least 0"),
        ("training.seed=4294967296", "training.seed is 4294967296, expected at most 4294967295"),
        ("model.lambda_rn=[1]", r"model.lambda_rn is \[1\], expected a number"),
        ("model.projection_dim=2.5", "expected a whole number or null"),
        ("training.bf16=maybe", "expected true or false"),
        ("training.per_device_train_batch_size=0", "expected at least 1"),
        ("training.dataloader_num_workers=-1", "expected at least 0"),
        ("data.augment=sometimes", "expected true or false"),
        ("data.path=5", "data.path is 5, expected text or null"),
        ("data.max_text_length=0", "expected at least 1"),
        ("data.sketch_margin=big", "expected a number"),
        ("data.prompts=shape", "expected a list or null"),
        ("data.prompts=[1]", "expected a list or null"),
    ],
)
def test_values_of_the_wrong_kind_are_refused_by_name(file, word, message):
    with pytest.raises(CaanError, match=message):
        load_recipe(file, [word])


def test_no_and_off_mean_what_they_say(file):
    words = ["data.augment=no", "training.bf16=off", "training.save_strategy=no", "training.eval_strategy=no"]
    recipe = load_recipe(file, words)
    assert recipe.data.augment is False
    assert recipe.training["bf16"] is False
    assert recipe.training["save_strategy"] == recipe.training["eval_strategy"] == "no"


def test_keys_that_are_no_words_are_refused(tmp_path):
    path = tmp_path / "odd.yaml"
    path.write_text("training: {5: 1}")
    with pytest.raises(CaanError, match="has no key 5"):
        load_recipe(path)
    path.write_text("5: {}\nfoo: {}")
    with pytest.raises(CaanError, match="unknown section 5"):
        load_recipe(path)


def test_a_run_needs_a_folder_and_a_metric_that_exists(file):
    with pytest.raises(CaanError, match="output_dir is missing"):
        training_arguments(load_recipe(file, ["training.output_dir=null"]))
    with pytest.raises(CaanError, match="'nosuch', expected one of mAP@all"):
        training_arguments(load_recipe(file, ["training.metric_for_best_model=nosuch"]))


def test_several_gpus_in_one_process_are_refused(file, monkeypatch):
    monkeypatch.setattr(CaanTrainingArguments, "n_gpu", 2)
    with pytest.raises(CaanError, match="torchrun --nproc_per_node=2"):
        training_arguments(load_recipe(file))

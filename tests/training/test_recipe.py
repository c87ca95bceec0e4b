"""Reading and validating recipes."""

import re

import pytest
import yaml
from transformers import ViTConfig, ViTImageProcessor, ViTModel

from caan_hf import CaanError
from caan_hf.training import CaanTrainingArguments, load_recipe, shipped_recipes
from caan_hf.training.backbones import build_model
from caan_hf.training.checkpoints import changed_settings

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


def test_overrides_change_the_recipe(file):
    words = ["model.text=null", "training.learning_rate=3e-5", "data.augment=false", "model.vision.model_type=vit"]
    recipe = load_recipe(file, words[:3])
    assert recipe.model.text is None
    assert recipe.training["learning_rate"] == 3e-5
    assert recipe.data.augment is False
    with pytest.raises(CaanError, match="single value"):
        load_recipe(file, words)


@pytest.mark.parametrize("folder", ["2026", "no", "1e3", "a: b", "run #1", "null", "[x", "~"])
def test_python_values_are_not_parsed_as_yaml(file, folder):
    recipe = load_recipe(file, changes={"data.path": folder, "training.output_dir": folder})
    assert recipe.data.path == folder
    assert recipe.training["output_dir"] == folder


def test_overrides_take_precedence_over_python_values(file):
    recipe = load_recipe(file, ["training.seed=2"], {"training.seed": 1, "training.max_steps": 5})
    assert (recipe.training["seed"], recipe.training["max_steps"]) == (2, 5)


def test_a_saved_recipe_reads_back_the_same(file, tmp_path):
    recipe = load_recipe(file, ["model.relation_hidden_sizes=[8, 4]"])
    again = tmp_path / "again.yaml"
    again.write_text(yaml.safe_dump(recipe.to_dict()), encoding="utf-8")
    assert load_recipe(again) == recipe


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("model.lamda_con=1", r"recipe\.yaml: model.lamda_con: unknown key. Did you mean model.lambda_con"),
        ("training.learning_rat=1", "Did you mean training.learning_rate"),
        ("data.augmen=true", "Did you mean data.augment"),
        ("extra.key=1", "extra: unknown key. A recipe has the sections model, data, training"),
        ("learning_rate=1", "not a key of a recipe"),
        ("training.seed", "not a change to a recipe"),
        ("training.=1", "not a key of a recipe"),
        ("model.text=[", "model.text: the value is not YAML"),
    ],
)
def test_unknown_keys_are_errors_with_a_suggestion(file, word, message):
    with pytest.raises(CaanError, match=message):
        load_recipe(file, [word])


@pytest.mark.parametrize("text", ["model: [", "- a\n- b", "model: 3"])
def test_a_file_that_is_not_a_recipe_is_named(tmp_path, text):
    path = tmp_path / "broken.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(CaanError, match=r"broken\.yaml"):
        load_recipe(path)


def test_the_error_of_a_missing_recipe_lists_the_shipped_ones():
    with pytest.raises(CaanError, match="quickstart"):
        load_recipe("nowhere.yaml")


def test_shipped_recipes_are_valid_and_refer_to_nothing_outside_the_repository():
    assert {"paper", "quickstart", "sketchy-mini", "caan-vit-tiny-sketchy", "zse-sbir"} <= set(shipped_recipes())
    for name, file in shipped_recipes().items():
        recipe = load_recipe(name, ["training.use_cpu=true", "training.bf16=false"])
        arguments = recipe.training_arguments()
        assert arguments.eval_strategy == "no" or arguments.metric_for_best_model == "mAP@all"
        assert "../shared" not in file.read_text(encoding="utf-8")


def data_paths(tree: dict) -> set[str]:
    """The benchmarks that a recipe or a study trains on."""
    found = {value for key, value in tree.items() if key == "data.path"}
    for value in tree.values():
        found |= data_paths(value) if isinstance(value, dict) else set()
    return found


@pytest.mark.parametrize("name", shipped_recipes())
def test_the_top_of_a_shipped_recipe_says_how_to_make_its_data_and_to_run_it(name):
    text = shipped_recipes()[name].read_text(encoding="utf-8")
    path = load_recipe(name).data.path
    assert re.search(rf"^#.*caan prepare .*{path}(?: --.*)?$", text, flags=re.MULTILINE)
    assert re.search(rf"^#.*caan train {name}(?: .*)?$", text, flags=re.MULTILINE)


@pytest.mark.parametrize("name", shipped_recipes("ablations"))
def test_the_top_of_a_shipped_study_says_how_to_make_its_data_and_to_run_it(name):
    file = shipped_recipes("ablations")[name]
    text, tree = file.read_text(encoding="utf-8"), yaml.safe_load(file.read_text(encoding="utf-8"))
    for path in data_paths(tree) or {load_recipe(file.parent / tree["recipe"]).data.path}:
        assert re.search(rf"^#.*caan prepare .*{path} ", text, flags=re.MULTILINE), path
    assert re.search(rf"^#.*caan ablate {name}$", text, flags=re.MULTILINE)


@pytest.mark.parametrize("name", shipped_recipes())
def test_shipped_recipes_take_towers_from_the_hub_or_from_a_folder(name, tmp_path):
    model = load_recipe(name).model
    for tower in (model.vision, model.text):
        assert tower is None or isinstance(tower, dict) or re.fullmatch(r"[\w.-]+/[\w.-]+", tower)
    folder = tmp_path / "tower"
    vit = ViTConfig(hidden_size=192, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16)
    ViTModel(vit).save_pretrained(folder)
    ViTImageProcessor().save_pretrained(folder)
    words = [f"model.vision={folder}", "model.text=null", "model.lambda_txt=0"]
    if isinstance(model.vision, dict):  # a mapping is replaced as a whole
        words.append("model.tie_visual_towers=true")
    recipe = load_recipe(name, words)
    assert build_model(recipe.model, recipe.data, [])[0].sketch_model.config.hidden_size == 192


def test_data_that_do_not_exist_name_the_command_at_the_top_of_the_recipe(file, tmp_path):
    recipe = load_recipe(file, changes={"data.path": str(tmp_path / "nowhere")})
    with pytest.raises(CaanError, match=r"data\.path: .*nowhere does not exist.*caan prepare"):
        recipe.data.benchmark_folder()


def test_changes_that_are_not_a_mapping_are_a_one_line_error(file):
    with pytest.raises(CaanError, match=r"changes: must map keys to values.*max_steps=3"):
        load_recipe(file, changes=["training.max_steps=3"])


@pytest.mark.parametrize("word", ["training.deepspeed=x", "training.fsdp=x"])
def test_a_value_that_the_trainer_refuses_is_a_one_line_error(file, word):
    with pytest.raises(CaanError, match="section training") as error:
        load_recipe(file, [word]).training_arguments()
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("training.eval_strategy=sometimes", r"training\.eval_strategy: .*'sometimes'.* epoch"),
        ("training.optim=adamw_troch", r"training\.optim: .*Did you mean adamw_torch\?.*adafactor"),
        ("training.lr_scheduler_type=cosin", r"training\.lr_scheduler_type: .*Did you mean cosine\?"),
        ("training.num_train_epochs=0", r"training\.num_train_epochs: 0 trains nothing.*max_steps"),
    ],
)
def test_a_value_that_training_cannot_use_names_its_key(file, word, message):
    with pytest.raises(CaanError, match=message):
        load_recipe(file, [word, "training.max_steps=-1"]).training_arguments()


@pytest.mark.parametrize("words", [["training.save_steps=2"], ["training.eval_strategy=no"]])
def test_checkpoints_that_do_not_fit_the_validation_name_the_keys_to_change(words):
    with pytest.raises(CaanError, match=r"training\.load_best_model_at_end.*training\.eval_strategy.*false") as error:
        load_recipe("quickstart", words).training_arguments()
    assert "--" not in str(error.value)


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("training.learning_rate=fast", "training.learning_rate: must be a valid number, got 'fast'"),
        ("training.tower_learning_rate=fast", "must be a valid number"),
        ("training.num_train_epochs=abc", "must be a valid number"),
        ("training.max_steps=1.5", "must be a valid integer"),
        ("training.seed=-1", "training.seed: must be greater than or equal to 0, got -1"),
        ("training.seed=4294967296", "training.seed: must be less than or equal to 4294967295, got 4294967296"),
        ("training.seed=true", "training.seed: must be a valid integer"),
        ("training.logging_steps=1e999", "training.logging_steps: must be a finite number"),
        ("model.lambda_rn=[1]", r"model.lambda_rn: must be a valid number.*, got \[1\]"),
        ("model.projection_dim=2.5", "must be a valid integer"),
        ("model.vision=3", "model.vision: must be a valid string or a valid dictionary, got 3"),
        ("model.config=3", "model: must be a valid dictionary, got 3"),
        ("training.bf16=maybe", "must be a valid boolean"),
        ("training.per_device_train_batch_size=0", "greater than or equal to 1"),
        ("training.dataloader_num_workers=-1", "greater than or equal to 0"),
        ("training.lr_scheduler_type=3", "training.lr_scheduler_type: must be a valid string, got 3"),
        ("data.augment=sometimes", "must be a valid boolean"),
        ("data.path=5", "data.path: must be a valid string, got 5"),
        ("data.max_text_length=0", "greater than or equal to 1"),
        ("data.sketch_margin=big", "must be a valid number"),
        ("data.images_per_category=0", "greater than or equal to 1"),
        ("data.instance_pairs=3", "less than or equal to 1"),
        ("data.prompts=shape", "data.prompts: must be a valid list"),
        ("data.prompts=[1]", "data.prompts: must be a valid string"),
        ("data.path=2026-13-45", "data.path: the value is not YAML"),
    ],
)
def test_values_of_the_wrong_type_or_out_of_range_are_errors(file, word, message):
    with pytest.raises(CaanError, match=message):
        load_recipe(file, [word])


@pytest.mark.parametrize("number", ["9" * 5000, "-" + "9" * 5000, "0x" + "f" * 5000, "9" * 40, "1" + "0" * 5000 + ".0"])
@pytest.mark.parametrize("key", ["training.seed", "training.learning_rate", "data.max_text_length", "model.lambda_rn"])
def test_huge_numbers_are_short_one_line_errors(file, key, number):
    with pytest.raises(CaanError, match=key) as error:
        load_recipe(file, [f"{key}={number}"])
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 500


def test_deeply_nested_values_are_one_line_errors(file):
    with pytest.raises(CaanError, match=r"data\.path: the value is not YAML"):
        load_recipe(file, ["data.path=" + "[" * 5000])


def test_yaml_booleans_are_accepted_for_booleans_and_strategies(file):
    words = ["data.augment=no", "training.bf16=off", "training.save_strategy=no", "training.eval_strategy=no"]
    recipe = load_recipe(file, words)
    assert recipe.data.augment is False
    assert recipe.training["bf16"] is False
    assert recipe.training["save_strategy"] == recipe.training["eval_strategy"] == "no"


def test_keys_that_are_not_text_are_errors(tmp_path):
    path = tmp_path / "odd.yaml"
    path.write_text("training: {5: 1}")
    with pytest.raises(CaanError, match=r"training\.5: unknown key"):
        load_recipe(path)
    path.write_text("5: {}\nfoo: {}")
    with pytest.raises(CaanError, match="5: unknown key"):
        load_recipe(path)


def test_a_run_needs_a_folder_and_an_existing_metric(file):
    with pytest.raises(CaanError, match=r"training\.output_dir: missing"):
        load_recipe(file, ["training.output_dir=null"]).training_arguments()
    with pytest.raises(CaanError, match=r"'nosuch'.* mAP@all"):
        load_recipe(file, ["training.metric_for_best_model=nosuch"]).training_arguments()


def test_several_gpus_in_one_process_are_an_error(file, monkeypatch):
    monkeypatch.setattr(CaanTrainingArguments, "n_gpu", 2)
    with pytest.raises(CaanError, match="torchrun --nproc_per_node=2"):
        load_recipe(file).training_arguments()


def test_defaults_are_filled_in_before_recipes_are_compared(file):
    before = load_recipe(file).to_dict()
    spelled_out = [
        "model.lambda_rn=1",
        "data.augment=true",
        "training.seed=42",
        "model.relation_hidden_sizes=[343, 49]",
    ]
    assert changed_settings(before, load_recipe(file, spelled_out).to_dict()) == {}
    after = load_recipe(file, ["model.local_dim=8", "training.seed=1", "training.output_dir=elsewhere"]).to_dict()
    assert changed_settings(before, after) == {"model.local_dim": (512, 8), "training.seed": (42, 1)}

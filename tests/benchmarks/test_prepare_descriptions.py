"""Descriptions are joined by category name; the plain template is used if there are none."""

import json

from raw_folders import prepare_folder, reasons

from caan_hf.benchmarks import load_benchmark


def record(category, text, **more):
    return json.dumps({"category": category, "text": text, **more})


def rows_by_category(path):
    dataset, _ = load_benchmark(path)
    names = dataset["train"].features["category"].names
    return {names[row["category"]]: row for split in dataset.values() for row in split}


def test_categories_without_descriptions_have_the_plain_template(own, prepare):
    prepared = prepare("folder")
    row = rows_by_category(prepared.path)["yak"]
    assert row["descriptions"] == ["a photo of a yak"]
    assert row["description_prompts"] == ["plain@1"]
    assert prepared.info.descriptions.model_dump() == {"origin": "caan-hf", "plain": ["boat", "lamp", "yak"]}
    assert not prepared.info.skipped


def test_the_shipped_descriptions_are_the_default(sketchy, prepare):
    prepared = prepare("sketchy-25")
    row = rows_by_category(prepared.path)["alarm_clock"]
    assert len(row["descriptions"]) == len(row["description_prompts"]) >= 5
    assert "shape@1" in row["description_prompts"]
    assert prepared.info.descriptions.model_dump() == {"origin": "caan-hf", "plain": []}


def test_records_join_across_spellings_and_missing_ones_are_reported(sketchy, prepare):
    file = sketchy.text(
        "sentences.jsonl",
        record("Alarm Clock", " It has two bells. ", prompt_id="parts", prompt="...", generator="x", created="y"),
        "",
        record("alarm-clock", "A round dial."),
        record("cat", "Whiskers.", prompt_id="parts"),
        record("cup", "A handle."),
        record("unicorn", "A horn."),
    )
    prepared = prepare("sketchy-25", descriptions=file)
    rows = rows_by_category(prepared.path)
    assert rows["alarm_clock"]["descriptions"] == ["It has two bells.", "A round dial."]
    assert rows["alarm_clock"]["description_prompts"] == ["parts", "unnamed"]
    assert rows["swan"]["description_prompts"] == ["plain@1"]
    assert reasons(prepared) == {"seen category without a description": ["dog"]}  # swan is unseen: no text is read
    assert prepared.info.descriptions.model_dump() == {"origin": "sentences.jsonl", "plain": ["dog", "swan"]}


def test_a_description_file_overrides_those_of_the_sample(tmp_path):
    from caan_hf.benchmarks.sample import SAMPLE_CATEGORIES

    file = tmp_path / "mine.jsonl"
    file.write_text(record(SAMPLE_CATEGORIES[0], "Mine."))
    options = {"categories": SAMPLE_CATEGORIES[:1], "photos_per_category": 1, "sketches_per_category": 1}
    prepared = prepare_folder("sample", None, tmp_path / "out", image_size=16, descriptions=file, **options)
    assert rows_by_category(prepared.path)[SAMPLE_CATEGORIES[0]]["descriptions"] == ["Mine."]
    assert prepared.info.descriptions.model_dump() == {"origin": "mine.jsonl", "plain": []}

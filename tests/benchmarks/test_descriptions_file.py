"""Descriptions join the benchmark by category name; the template stands in where there are none."""

import json

import pytest
from raw_folders import reasons

from caan_hf.benchmarks import load_benchmark
from caan_hf.benchmarks.descriptions import read_descriptions, template_description
from caan_hf.errors import CaanError


def record(category, text, **more):
    return json.dumps({"category": category, "text": text, **more})


@pytest.mark.parametrize(
    ("category", "text"),
    [
        ("cat", "a photo of a cat"),
        ("alarm_clock", "a photo of an alarm clock"),
        ("hot-air_balloon", "a photo of a hot-air balloon"),
        ("car_(sedan)", "a photo of a car (sedan)"),
        ("mouse (animal)", "a photo of a mouse (animal)"),
    ],
)
def test_template(category, text):
    assert template_description(category) == text


def rows_by_category(path):
    dataset, _ = load_benchmark(path)
    names = dataset["train"].features["category"].names
    return {names[row["category"]]: row for split in dataset.values() for row in split}


def test_template_is_marked_as_such(own, prepare):
    row = rows_by_category(prepare("folder").path)["yak"]
    assert row["descriptions"] == ["a photo of a yak"]
    assert row["description_prompts"] == ["template"]


def test_records_join_across_spellings_and_missing_ones_are_reported(sketchy, prepare):
    file = sketchy.text(
        "sentences.jsonl",
        record("Alarm Clock", " It has two bells. ", prompt_id="parts", prompt="...", generator="x", created="y"),
        "",
        record("alarm-clock", "A round dial."),
        record("cat", "Whiskers.", prompt_id="parts"),
        record("dog", "Tail."),
        record("cup", "A handle."),
        record("unicorn", "A horn."),
    )
    prepared = prepare("sketchy-25", descriptions=file)
    rows = rows_by_category(prepared.path)
    assert rows["alarm_clock"]["descriptions"] == ["It has two bells.", "A round dial."]
    assert rows["alarm_clock"]["description_prompts"] == ["parts", "unnamed"]
    assert rows["swan"]["description_prompts"] == ["template"]
    assert reasons(prepared) == {"category without a description (the template is used)": ["swan"]}
    assert prepared.info["descriptions"] == {"origin": "sentences.jsonl"}


def test_a_file_goes_before_the_sentences_of_the_sample(tmp_path):
    from caan_hf.benchmarks import prepare_benchmark
    from caan_hf.benchmarks.sample import SAMPLE_CATEGORIES

    file = tmp_path / "mine.jsonl"
    file.write_text(record(SAMPLE_CATEGORIES[0], "Mine."))
    options = {"categories": SAMPLE_CATEGORIES[:1], "photos_per_category": 1, "sketches_per_category": 1}
    prepared = prepare_benchmark(
        "sample", None, tmp_path / "out", image_size=16, descriptions=file, progress=False, **options
    )
    assert rows_by_category(prepared.path)[SAMPLE_CATEGORIES[0]]["descriptions"] == ["Mine."]
    assert prepared.info["descriptions"] == {"origin": "mine.jsonl"}


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "is not JSON"),
        ("[]", "is not a JSON object"),
        ('{"text": "x"}', "lacks 'category'"),
        ('{"category": "cat"}', "lacks 'text'"),
        ('{"category": "cat", "text": " "}', "lacks 'text'"),
        ('{"category": 3, "text": "x"}', "lacks 'category'"),
    ],
)
def test_bad_records_are_named_by_file_and_line(raw, line, message):
    file = raw.text("d.jsonl", record("cat", "fine"), line)
    with pytest.raises(CaanError, match=message) as caught:
        read_descriptions(file)
    assert f"{file}:2" in str(caught.value)


def test_unreadable_files_are_one_clear_error(raw, tmp_path):
    with pytest.raises(CaanError, match="cannot be read"):
        read_descriptions(tmp_path / "nowhere.jsonl")
    (tmp_path / "binary.jsonl").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(CaanError, match="cannot be read"):
        read_descriptions(tmp_path / "binary.jsonl")
    with pytest.raises(CaanError, match="holds no description"):
        read_descriptions(raw.text("empty.jsonl", ""))

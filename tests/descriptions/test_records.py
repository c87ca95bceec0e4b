"""Description files."""

import json

import pytest

from caan_hf.descriptions.records import Description, join, read_descriptions, write_descriptions
from caan_hf.errors import CaanError


def record(category, text, **more):
    return json.dumps({"category": category, "text": text, **more})


@pytest.fixture
def file(tmp_path):
    def write(*lines):
        path = tmp_path / "d.jsonl"
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
        return path

    return write


def test_written_records_are_read_again(tmp_path):
    more = {"prompt_id": "shape@1", "prompt": "What?", "generator": "me", "created": "2026-01-01T00:00:00+00:00"}
    records = [
        Description(category="cat", text="Whiskers.", **more),
        Description(category="caf\u00e9", text="A \u2028 terrace.", prompt_id="parts@1"),
    ]
    write_descriptions(tmp_path / "d.jsonl", records)
    assert read_descriptions(tmp_path / "d.jsonl") == records
    assert [path.name for path in tmp_path.iterdir()] == ["d.jsonl"]


def test_hand_written_records_need_only_category_and_text(file):
    (found,) = read_descriptions(file("", record("cat", " Whiskers. "), ""))
    assert found == Description(category="cat", text="Whiskers.", prompt_id="unnamed")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "invalid JSON"),
        ("[]", "object"),
        ('{"text": "x"}', "category: field required"),
        ('{"category": "cat"}', "text: field required"),
        ('{"category": "cat", "text": " "}', "text: .* at least 1 character"),
        ('{"category": 3, "text": "x"}', "category: .*string, got 3"),
        (record("cat", "\ud83d"), "JSON"),
        (record("cat", "x", prompt_id=3), "prompt_id: .*string, got 3"),
        (record("cat", "x", promt_id="shape"), "promt_id"),
        (record("Cat", " FINE "), "same text about 'Cat' as line 1"),
    ],
)
def test_an_error_names_file_and_line(file, line, message):
    path = file(record("cat", "fine"), line)
    with pytest.raises(CaanError, match=message) as caught:
        read_descriptions(path)
    assert f"{path}:2" in str(caught.value)


def test_an_unreadable_file_is_one_clear_error(tmp_path, file):
    with pytest.raises(CaanError, match="cannot be read"):
        read_descriptions(tmp_path / "nowhere.jsonl")
    (tmp_path / "binary.jsonl").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(CaanError, match="not a UTF-8 text file"):
        read_descriptions(tmp_path / "binary.jsonl")
    with pytest.raises(CaanError, match="no descriptions"):
        read_descriptions(file(""))


@pytest.mark.parametrize(
    ("spelled", "recorded"),
    [
        ("car_(sedan)", "car (sedan)"),
        ("hot-air_balloon", "hot air balloon"),
        ("alarm clock", "Alarm_Clock"),
        ("t-shirt", "T shirt"),
        ("hotdog", "hot-dog"),
        ("the_eiffel_tower", "eiffel tower"),
        ("television", "tv"),
        ("pants", "trousers"),
        ("tv", "television"),
    ],
)
def test_join_across_spellings(spelled, recorded):
    found = Description(category=recorded, text="Here.")
    assert join([spelled], [found]) == {spelled: (found,)}


def test_join_separates_meanings_and_keeps_the_order_of_the_file():
    texts = [("mouse", "b"), ("mouse (animal)", "x"), ("mouse", "a")]
    records = [Description(category=category, text=text) for category, text in texts]
    joined = join(["mouse", "computer-mouse"], records)
    assert [found.text for found in joined["mouse"]] == ["b", "a"]
    assert joined["computer-mouse"] == ()

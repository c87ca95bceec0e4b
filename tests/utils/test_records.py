"""JSON files are validated when they are read, and errors name the file, the field and the remedy."""

import json

import pytest

from caan_hf.errors import CaanError
from caan_hf.utils.records import Record

REMEDY = "Export again."


class Size(Record):
    width: int
    names: tuple[str, ...] = ()


class Document(Record):
    size: Size
    share: float


def test_written_record_is_read_back(tmp_path):
    document = Document(size=Size(width=3, names=("a", "b")), share=0.5)
    document.write(tmp_path / "a.json")
    assert Document.read(tmp_path / "a.json", REMEDY) == document


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"size": {"width": 3}}, r"share: .*required"),
        ({"size": {"width": "wide"}, "share": 1}, r"size\.width: .*'wide'"),
        ({"size": {"width": "3"}, "share": 1}, r"size\.width: .*'3'"),
        ({"size": {"width": 3}, "share": True}, r"share: "),
        ({"size": {"width": 3, "height": 4}, "share": 1}, r"size\.height"),
        ({"size": [], "share": 1}, r"size: "),
        ([], r"a\.json: "),
        ({"size": {"width": 3}, "share": 1, "a\nb": 1}, r"a\\nb: "),
        ({"size": {"width": 3}, "share": 1, "n" * 10**6: 1}, r"a\.json: n+: .{,99}$"),
    ],
)
def test_error_names_file_field_and_remedy(tmp_path, content, message):
    file = tmp_path / "a.json"
    file.write_text(json.dumps(content))
    with pytest.raises(CaanError, match=message) as raised:
        Document.read(file, REMEDY)
    assert str(file) in str(raised.value)
    assert REMEDY in str(raised.value)
    assert "\n" not in str(raised.value)


def test_dictionary_is_validated_as_if_it_were_json():
    assert Document.parse({"size": {"width": 3, "names": ["a"]}, "share": 1}, "x", REMEDY).size.names == ("a",)
    with pytest.raises(CaanError, match=r"x: size\.width.*Export again"):
        Document.parse({"size": {"width": "3"}, "share": 1}, "x", REMEDY)


@pytest.mark.parametrize("content", [b"", b"{", b"[" * 200_000, b"\xff\xfe", b'{"share": 1e999, "size": {"width": 1}'])
def test_invalid_json_is_a_one_line_error(tmp_path, content):
    (tmp_path / "a.json").write_bytes(content)
    with pytest.raises(CaanError, match=r"a\.json.*Export again") as raised:
        Document.read(tmp_path / "a.json", REMEDY)
    assert len(str(raised.value)) < 500


def test_a_missing_file_is_a_one_line_error(tmp_path):
    with pytest.raises(CaanError, match=r"gone\.json: .*No such file.*Export again"):
        Document.read(tmp_path / "gone.json", REMEDY)

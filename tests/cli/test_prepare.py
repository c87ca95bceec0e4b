"""The command `caan prepare`."""

import io
import resource
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from PIL import Image
from raw_folders import image_bytes
from typer.testing import CliRunner

from caan_hf.benchmarks import load_benchmark
from caan_hf.cli.prepare import prepare
from caan_hf.errors import CaanError

app = typer.Typer(rich_markup_mode="markdown")
app.command()(prepare)


def caan_prepare(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments], env={"COLUMNS": "200"})


@pytest.fixture
def raw(tmp_path) -> Path:
    """Three categories with one sketch and one photo each; yak is unseen."""
    for number, category in enumerate(("boat", "lamp", "yak")):
        buffer = io.BytesIO()
        image = Image.new("RGB", (8, 8), "white")
        image.putpixel((number, 3), (0, 0, 0))
        image.save(buffer, "PNG")
        for modality in ("sketches", "photos"):
            (tmp_path / "raw" / modality / category).mkdir(parents=True)
            (tmp_path / "raw" / modality / category / "1.png").write_bytes(buffer.getvalue())
    (tmp_path / "raw/unseen.txt").write_text("yak\n")
    return tmp_path / "raw"


def test_prepare_prints_counts_and_problems(raw, tmp_path):
    (raw / "photos/boat/notes.jpg").write_text("x")
    result = caan_prepare("folder", raw, tmp_path / "out", "--validation-categories", 1)
    assert result.exit_code == 0, result.output
    for part in ("folder@1", "train", "validation", "test", "1 skipped (not an image): photos/boat/notes.jpg"):
        assert part in result.output
    assert load_benchmark(tmp_path / "out")[1].unseen == ["yak"]


def test_the_number_of_validation_categories_is_printed_and_can_be_0(raw, tmp_path):
    for count in (1, 0):
        result = caan_prepare("folder", raw, tmp_path / f"out{count}", "--validation-categories", count)
        assert f"{count} of 2 seen categories" in result.output
        assert len(load_benchmark(tmp_path / f"out{count}")[1].validation) == count


@pytest.mark.parametrize(
    ("unseen", "damaged", "warning"),
    [
        ("yak", None, "test split has only one category. Evaluation"),
        ("yak", "photos/yak/1.png", "test split is empty. Evaluation"),
        ("yak\nlamp", None, "train split has only one category. Training"),
        ("yak\nlamp\nboat", None, "train split is empty. Training"),
    ],
)
def test_splits_that_cannot_be_used_are_warned_of(raw, tmp_path, unseen, damaged, warning):
    (raw / "unseen.txt").write_text(unseen)
    if damaged is not None:
        (raw / damaged).write_text("x")
    printed = caan_prepare("folder", raw, tmp_path / "out", "--validation-categories", 0).output
    (line,) = [line for line in printed.splitlines() if line.startswith("warning:")]
    assert warning in line


def test_training_categories_without_description_are_named_with_the_remedy(raw, tmp_path):
    for modality in ("sketches", "photos"):
        (raw / modality / "lamp").rename(raw / modality / "zither")
        (raw / modality / "boat").rename(raw / modality / "cat")
    shipped = caan_prepare("folder", raw, tmp_path / "out", "--validation-categories", 0).output
    assert "1 of 2 training categories have no description: zither." in shipped
    assert "yak" not in shipped  # no text is read of unseen categories
    assert "a photo of a" in shipped
    assert f"caan describe {tmp_path / 'out'} --out" in shipped
    assert "--descriptions descriptions.jsonl" in shipped

    file = tmp_path / "mine.jsonl"
    file.write_text('{"category": "zither", "text": "Strings over a flat box."}\n')
    options = ("--validation-categories", 0, "--descriptions", file, "--overwrite")
    own = caan_prepare("folder", raw, tmp_path / "out", *options).output
    assert own.count("no description: cat.") == 1
    assert "--out mine.jsonl" in own


def test_strict_accepts_unseen_categories_without_description(raw, tmp_path):
    file = tmp_path / "mine.jsonl"
    file.write_text("".join(f'{{"category": "{name}", "text": "Seen."}}\n' for name in ("boat", "lamp")))
    result = caan_prepare("folder", raw, tmp_path / "out", "--descriptions", file, "--strict")
    assert result.exit_code == 0, result.output


def test_progress_is_silent_without_a_terminal(raw, tmp_path):
    assert "verifying" not in caan_prepare("folder", raw, tmp_path / "out").output


def test_reference_and_overwrite_replace_a_benchmark(raw, tmp_path):
    caan_prepare("folder", raw, tmp_path / "out")
    result = caan_prepare("folder", raw, tmp_path / "out", "--reference", "--overwrite", "--quiet")
    assert result.exit_code == 0, result.output
    assert load_benchmark(tmp_path / "out")[1].images == "referenced"


def test_strict_fails_on_skipped_files(raw, tmp_path):
    (raw / "photos/boat/notes.jpg").write_text("x")
    result = caan_prepare("folder", raw, tmp_path / "out", "--strict")
    assert isinstance(result.exception, CaanError)
    assert not (tmp_path / "out").exists()


def test_sample_takes_out_dir_alone(tmp_path):
    size = ("--photos-per-category", 1, "--sketches-per-category", 1, "--image-size", 16)
    result = caan_prepare("sample", tmp_path / "out", *size)
    assert result.exit_code == 0, result.output
    assert load_benchmark(tmp_path / "out")[1].protocol == "sample@1"


@pytest.mark.parametrize(("name", "folders"), [("sample", 2), ("sample", 0), ("folder", 1), ("sketchy-25", 3)])
def test_a_wrong_number_of_folders_is_an_error(tmp_path, name, folders):
    result = caan_prepare(name, *[tmp_path / str(number) for number in range(folders)])
    assert result.exit_code != 0
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(sys.platform != "linux", reason="file size limits raise SIGXFSZ elsewhere")
def test_a_full_disk_is_a_one_line_error_and_leaves_nothing(raw, tmp_path):
    def limit_file_size():
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))

    words = [sys.executable, "-m", "caan_hf", "prepare", "folder", raw, tmp_path / "deep/out"]
    done = subprocess.run(words, preexec_fn=limit_file_size, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "cannot be written" in done.stderr
    assert sorted(tmp_path.iterdir()) == [raw]


def test_data_sets_are_added_and_tabulated(raw, tmp_path):
    for folder in ("sketches/lamp", "photos/lamp", "photos/kettle", "photos/yak"):
        (tmp_path / "pool" / folder).mkdir(parents=True)
        (tmp_path / "pool" / folder / "1.png").write_bytes(image_bytes(folder, format="PNG"))
    options = ("--add", tmp_path / "pool", "--unpaired", "--validation-categories", 0)
    result = caan_prepare("folder", raw, tmp_path / "out", *options)
    assert result.exit_code == 0, result.output
    for part in ("folder@1+pool", "duplicates left out", "only photos: 1", "because they are unseen: 1 (pool/yak)"):
        assert part in result.output
    assert ["pool", "photo", "2", "2", "2", "0"] in [line.split() for line in result.output.splitlines()]

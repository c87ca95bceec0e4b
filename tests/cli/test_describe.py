"""The command `caan describe`."""

import pytest
from chat_server import ChatServer, fail, say
from tiny_recipe import sample_data  # noqa: F401 - a fixture
from typer.testing import CliRunner

from caan_hf.benchmarks.prepared import read_info
from caan_hf.cli.main import app
from caan_hf.descriptions.records import read_descriptions
from caan_hf.errors import CaanError


@pytest.fixture
def caan(tmp_path):
    (tmp_path / "seen.txt").write_text("# mine\nbee\nalarm_clock\n")

    def run(*words):
        out = tmp_path / "d.jsonl"
        command = ["describe", str(tmp_path / "seen.txt"), "--out", str(out), "--model", "m", *words]
        return CliRunner().invoke(app, command, catch_exceptions=True), out

    return run


def test_records_and_cost_are_reported(caan):
    with ChatServer() as server:
        result, out = caan("--base-url", server.url, "--prompts", "outline,shape", "--samples", "1")
    assert result.exit_code == 0
    assert "4 requests, 200 tokens sent, 40 received" in result.stdout
    assert "4 descriptions written" in result.stdout
    assert [r.prompt_id for r in read_descriptions(out)] == ["shape@1", "outline@1"] * 2


def test_the_training_categories_of_a_benchmark_are_described(sample_data, tmp_path):  # noqa: F811
    out = tmp_path / "d.jsonl"
    with ChatServer() as server:
        words = ["--out", str(out), "--model", "m", "--base-url", server.url, "--prompts", "shape"]
        result = CliRunner().invoke(app, ["describe", str(sample_data), *words])
    assert result.exit_code == 0, result.output
    assert [record.category for record in read_descriptions(out)] == read_info(sample_data).seen


def test_a_folder_that_is_no_benchmark_is_refused(tmp_path):
    result = CliRunner().invoke(app, ["describe", str(tmp_path), "--out", str(tmp_path / "d.jsonl"), "--model", "m"])
    assert "not a prepared benchmark" in str(result.exception)


def test_missing_answers_are_listed(caan):
    with ChatServer() as server:
        server.otherwise = say("I'm sorry, I can't.")
        result, _ = caan("--base-url", server.url, "--prompts", "shape")
    assert result.exit_code == 1
    assert "no answer: bee, shape: refused" in result.stdout
    assert "2 are missing: run the same command again" in result.stdout


def test_the_key_is_never_shown(caan, monkeypatch):
    monkeypatch.setenv("CAAN_API_KEY", "very-secret")
    with ChatServer() as server:
        server.otherwise = fail(401, "invalid key")
        result, out = caan("--base-url", server.url)
    assert isinstance(result.exception, CaanError)
    assert "HTTP 401: invalid key" in str(result.exception)
    assert "very-secret" not in result.output + str(result.exception) + out.read_text()


def test_an_error_before_the_file_is_read_reports_no_numbers(caan):
    with ChatServer() as server:
        _, out = caan("--base-url", server.url, "--prompts", "shape")
    result, _ = caan("--base-url", "localhost")
    assert isinstance(result.exception, CaanError)
    assert len(read_descriptions(out)) == 2
    assert "which had 0 before" not in result.output


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--prompts", "shade"], "no prompt is called 'shade'"),
        (["--base-url", "localhost"], "not a URL"),
        (["--local", "--base-url", "http://x"], "mutually exclusive"),
        (["--local"], "cannot be loaded"),
        (["--samples", "3", "--temperature", "0"], "Choose a higher temperature"),
        (["--text-tower", "/nowhere"], "tokenizer cannot be loaded"),
    ],
)
def test_bad_input_is_one_clear_error(caan, monkeypatch, words, message):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)  # the variable is read once
    result, _ = caan(*words)
    assert isinstance(result.exception, CaanError)
    assert message in str(result.exception)

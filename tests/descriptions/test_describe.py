"""`describe`: which questions are asked and repeated, what is written, and how a killed run is continued."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest
from chat_server import fail, hang, say

from caan_hf.descriptions.prompts import PROMPTS
from caan_hf.descriptions.records import read_descriptions
from caan_hf.errors import CaanError

CATEGORIES = ["alarm_clock", "bee", "cat"]
TWO = PROMPTS[:2]


def test_records_are_sorted_by_category_and_prompt(server, run, tmp_path):
    server.behaviours = [hang(0.3)]  # the first question is the last to be answered
    out = tmp_path / "d.jsonl"
    report = run(CATEGORIES, out, concurrency=6)
    records = read_descriptions(out)
    assert [(r.category, r.prompt_id) for r in records] == [(c, p.id) for c in CATEGORIES for p in TWO]
    assert records[0].prompt == PROMPTS[0].ask("alarm_clock")
    assert records[0].generator == "some-model"
    assert records[0].created.endswith("+00:00")
    assert (report.written, report.kept, report.requests) == (6, 0, 6)
    assert (report.prompt_tokens, report.completion_tokens) == (300, 60)
    assert not report.missing


def test_existing_records_are_not_asked_again(server, run, tmp_path):
    out = tmp_path / "d.jsonl"
    run(CATEGORIES[1:], out)
    server.questions.clear()
    report = run(["Alarm Clock", "BEE", "cat"], out)
    assert (report.written, report.kept) == (2, 4)
    assert set(server.questions) == {prompt.ask("Alarm Clock") for prompt in TWO}
    assert [r.category for r in read_descriptions(out)] == ["Alarm Clock"] * 2 + ["bee"] * 2 + ["cat"] * 2
    assert run(CATEGORIES, out).requests == 0


def test_samples_of_one_question_differ(server, run, tmp_path):
    texts = [f"A bee has {number} thin legs." for number in ("two", "six", "six", "four")]
    server.behaviours = [say(text) for text in texts]
    out = tmp_path / "d.jsonl"
    report = run(["bee"], out, concurrency=1, prompts="shape", samples=3)
    assert {r.text for r in read_descriptions(out)} == set(texts)
    assert report.unusable == {"the same text as before": 1}


def test_a_refusal_is_asked_once_more_and_reported(server, run, tmp_path):
    refusal = say("I'm sorry, I cannot describe that.")
    server.behaviours = [refusal]
    report = run(["bee"], tmp_path / "d.jsonl", prompts="shape")
    assert report.unusable == {"refused": 1}
    assert report.written == 1
    server.otherwise = refusal
    report = run(["bee", "cat"], tmp_path / "d.jsonl", prompts="shape")
    assert {question.category: reason for question, reason in report.missing.items()} == {"cat": "refused"}
    assert report.requests == 2
    assert len(read_descriptions(tmp_path / "d.jsonl")) == 1


def test_answers_before_an_outage_are_kept(server, run, tmp_path):
    server.behaviours = [say()] * 3
    server.otherwise = fail(500)
    with pytest.raises(CaanError, match="in a row failed"):
        run([*CATEGORIES, "dog", "eel"], tmp_path / "d.jsonl", concurrency=1, tries=1)
    assert len(read_descriptions(tmp_path / "d.jsonl")) == 3


def test_an_incomplete_last_record_is_removed(server, run, tmp_path):
    out = tmp_path / "d.jsonl"
    run(CATEGORIES, out)
    whole = out.read_bytes()
    for lost in (1, 2, 40, len(whole.splitlines()[-1])):
        out.write_bytes(whole[:-lost])
        report = run(CATEGORIES, out)
        assert report.written == (0 if lost == 1 else 1)  # without its line break, the last record is still complete
        assert [r.key for r in read_descriptions(out)] == [
            (json.loads(line)["category"].replace("_", ""), json.loads(line)["text"].casefold())
            for line in whole.splitlines()
        ]


@pytest.mark.parametrize(
    ("content", "message"),
    [("my notes\nwithout a line end", "JSON"), ('{"category": "bee", "label": 3}\n', "text: field required")],
)
def test_a_file_of_another_kind_is_not_changed(run, tmp_path, content, message):
    out = tmp_path / "other.txt"
    out.write_text(content)
    with pytest.raises(CaanError, match=rf"other\.txt:1: .*{message}"):
        run(CATEGORIES, out)
    assert out.read_text() == content


def test_two_runs_cannot_write_the_same_file(server, run, chat, tmp_path):
    out = tmp_path / "d.jsonl"
    first = chat()

    class Meanwhile:
        name = "m"

        def answers(self, questions):
            with pytest.raises(CaanError, match="another `caan describe` is writing it"):
                run(["dog"], out)
            yield from first.answers(questions)

    assert run(CATEGORIES, out, generator=Meanwhile()).written == 6


def test_prompts_keep_their_order_over_several_runs(server, run, tmp_path):
    out = tmp_path / "d.jsonl"
    run(["zebra", "ant"], out, prompts="parts")
    run(["bee"], out)
    run(["bee", "zebra", "ant"], out)
    order = [(record.category, record.prompt_id) for record in read_descriptions(out)]
    assert order == [(category, prompt.id) for category in ("bee", "zebra", "ant") for prompt in TWO]


def test_an_unwritable_folder_is_one_clear_error(run, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(CaanError, match="cannot be"):
        run(CATEGORIES, tmp_path / "file" / "d.jsonl")
    with pytest.raises(CaanError, match="Is a directory"):
        run(CATEGORIES, tmp_path)


def test_a_full_disk_is_one_clear_error(server, run, tmp_path, monkeypatch):
    def full_disk(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full_disk)
    with pytest.raises(CaanError, match=r"d\.jsonl: cannot be written.*No space left"):
        run(CATEGORIES, tmp_path / "d.jsonl")


@pytest.mark.slow
def test_a_killed_run_is_continued(server, tmp_path):
    server.otherwise = hang(0.05)
    categories = [f"thing {number}" for number in range(40)]
    (tmp_path / "c.txt").write_text("\n".join(categories))
    out = tmp_path / "d.jsonl"
    words = ["describe", tmp_path / "c.txt", "--out", out, "--model", "m", "--base-url", server.url]
    command = [sys.executable, "-m", "caan_hf.cli.main", *map(str, words), "--concurrency", "2"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    while not (out.exists() and out.read_bytes().count(b"\n") >= 20):
        time.sleep(0.01)
        assert process.poll() is None
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    kept = out.read_bytes().count(b"\n")
    asked = sum(server.questions.values())
    assert asked - kept <= 2 + 1  # two concurrent requests, and one that may have been written in the meantime
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, timeout=120)
    assert sum(server.questions.values()) == asked + 200 - kept
    records = read_descriptions(out)
    assert [r.category for r in records] == [category for category in categories for _ in range(5)]

"""`describe`: what it asks, keeps, asks again, and finds again after a kill."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest
from chat_server import fail, hang, say

from caan_hf.descriptions import describe, read_descriptions
from caan_hf.descriptions.prompts import choose_prompts
from caan_hf.errors import CaanError

CATEGORIES = ["alarm_clock", "bee", "cat"]
TWO = choose_prompts(["shape", "parts"])


def test_every_category_is_described_in_a_fixed_order(server, chat, tmp_path):
    server.behaviours = [hang(0.3)]  # the first question is the last to be answered
    out = tmp_path / "d.jsonl"
    report = describe(CATEGORIES, chat(concurrency=6), out, prompts=TWO, progress=False)
    records = read_descriptions(out)
    assert [(r.category, r.prompt_id) for r in records] == [(c, p.id) for c in CATEGORIES for p in TWO]
    assert (
        records[0].prompt
        == "What does an alarm clock look like: its overall shape and proportions, its surface, its colours?"
    )
    assert records[0].generator == "some-model"
    assert records[0].created.endswith("+00:00")
    assert (report.written, report.kept, report.requests) == (6, 0, 6)
    assert (report.prompt_tokens, report.completion_tokens) == (300, 60)
    assert not report.missing


def test_nothing_is_asked_twice(server, chat, tmp_path):
    out = tmp_path / "d.jsonl"
    describe(CATEGORIES[1:], chat(), out, prompts=TWO, progress=False)
    server.questions.clear()
    report = describe(["Alarm Clock", "BEE", "cat"], chat(), out, prompts=TWO, progress=False)
    assert (report.written, report.kept) == (2, 4)
    assert set(server.questions) == {prompt.ask("Alarm Clock") for prompt in TWO}
    assert [r.category for r in read_descriptions(out)] == ["Alarm Clock"] * 2 + ["bee"] * 2 + ["cat"] * 2
    assert describe(CATEGORIES, chat(), out, prompts=TWO, progress=False).requests == 0


def test_samples_differ(server, chat, tmp_path):
    texts = [f"A bee has {number} thin legs." for number in ("two", "six", "six", "four")]
    server.behaviours = [say(text) for text in texts]
    out = tmp_path / "d.jsonl"
    report = describe(["bee"], chat(concurrency=1), out, prompts=TWO[:1], samples=3, progress=False)
    assert {r.text for r in read_descriptions(out)} == set(texts)
    assert report.unusable == {"the same text as before": 1}


def test_a_refusal_is_asked_once_more_and_reported(server, chat, tmp_path):
    refusal = say("I'm sorry, I cannot describe that.")
    server.behaviours = [refusal]
    report = describe(["bee"], chat(), tmp_path / "d.jsonl", prompts=TWO[:1], progress=False)
    assert report.unusable == {"refused": 1}
    assert report.written == 1
    server.otherwise = refusal
    report = describe(["bee", "cat"], chat(), tmp_path / "d.jsonl", prompts=TWO[:1], progress=False)
    assert {question.category: reason for question, reason in report.missing.items()} == {"cat": "refused"}
    assert report.requests == 2
    assert len(read_descriptions(tmp_path / "d.jsonl")) == 1


def test_what_was_answered_before_the_server_went_down_is_kept(server, chat, tmp_path):
    server.behaviours = [say()] * 3
    server.otherwise = fail(500)
    with pytest.raises(CaanError, match="in a row failed"):
        describe(
            [*CATEGORIES, "dog", "eel"], chat(concurrency=1, tries=1), tmp_path / "d.jsonl", prompts=TWO, progress=False
        )
    assert len(read_descriptions(tmp_path / "d.jsonl")) == 3


def test_a_half_written_record_is_cut_off(server, chat, tmp_path):
    out = tmp_path / "d.jsonl"
    describe(CATEGORIES, chat(), out, prompts=TWO, progress=False)
    whole = out.read_bytes()
    for lost in (1, 2, 40, len(whole.splitlines()[-1])):
        out.write_bytes(whole[:-lost])
        report = describe(CATEGORIES, chat(), out, prompts=TWO, progress=False)
        assert report.written == (0 if lost == 1 else 1)  # of the line end alone, nothing is lost
        assert [r.key for r in read_descriptions(out)] == [
            (json.loads(line)["category"].replace("_", ""), json.loads(line)["text"].casefold())
            for line in whole.splitlines()
        ]


def test_somebody_elses_file_is_left_as_it_is(chat, tmp_path):
    out = tmp_path / "notes.txt"
    out.write_text("my notes\nwithout a line end")
    with pytest.raises(CaanError, match=r"notes\.txt:1 is not JSON"):
        describe(CATEGORIES, chat(), out, progress=False)
    assert out.read_text() == "my notes\nwithout a line end"


def test_a_file_of_another_kind_loses_nothing(chat, tmp_path):
    out = tmp_path / "labels.jsonl"
    out.write_text('{"category": "bee", "label": 3}')
    with pytest.raises(CaanError, match="unknown field 'label'"):
        describe(CATEGORIES, chat(), out, progress=False)
    assert out.read_text().strip() == '{"category": "bee", "label": 3}'


def test_two_runs_do_not_write_one_file(server, chat, tmp_path):
    out = tmp_path / "d.jsonl"
    first = chat()

    class Meanwhile:
        name = "m"

        def answers(self, questions):
            with pytest.raises(CaanError, match="another `caan describe` is writing it"):
                describe(["dog"], chat(), out, progress=False)
            yield from first.answers(questions)

    assert describe(CATEGORIES, Meanwhile(), out, prompts=TWO, progress=False).written == 6


def test_prompts_keep_their_order_over_several_runs(server, chat, tmp_path):
    out = tmp_path / "d.jsonl"
    describe(["zebra", "ant"], chat(), out, prompts=choose_prompts(["parts"]), progress=False)
    describe(["bee"], chat(), out, prompts=TWO, progress=False)
    describe(["bee", "zebra", "ant"], chat(), out, prompts=TWO, progress=False)
    order = [(record.category, record.prompt_id) for record in read_descriptions(out)]
    assert order == [(category, prompt.id) for category in ("bee", "zebra", "ant") for prompt in TWO]


def test_a_place_that_cannot_be_written_is_one_clear_error(chat, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(CaanError, match="cannot be"):
        describe(CATEGORIES, chat(), tmp_path / "file" / "d.jsonl", progress=False)


@pytest.mark.slow
def test_a_killed_run_goes_on_where_it_was(server, chat, tmp_path):
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
    assert asked - kept <= 2 + 1  # those under way, and the one that may have been written meanwhile
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, timeout=120)
    assert sum(server.questions.values()) == asked + 200 - kept
    records = read_descriptions(out)
    assert [r.category for r in records] == [category for category in categories for _ in range(5)]

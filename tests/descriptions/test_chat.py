"""The chat generator, through the real client against a real server that misbehaves."""

import time

import pytest
from chat_server import cut, fail, garbage, hang

from caan_hf.descriptions.chat import ChatGenerator
from caan_hf.descriptions.generator import Question
from caan_hf.descriptions.prompts import PROMPTS
from caan_hf.errors import CaanError

SHAPE = PROMPTS[0]


def questions(count=1):
    return [Question(f"thing {number}", SHAPE, 0) for number in range(count)]


def only(generator):
    (answer,) = generator.answers(questions())
    return answer


def test_it_asks_in_the_openai_protocol(server, chat):
    answer = only(chat(temperature=0.2, max_new_tokens=99))
    (request,) = server.requests
    assert request["path"] == "/v1/chat/completions"
    assert request["body"]["model"] == "some-model"
    assert request["body"]["temperature"] == 0.2
    assert request["body"]["max_tokens"] == 99
    assert request["body"]["messages"][-1]["content"] == SHAPE.ask("thing 0")
    assert answer.text.startswith("This is what one sees.")
    assert (answer.requests, answer.prompt_tokens, answer.completion_tokens) == (1, 50, 10)


def test_every_question_has_a_seed_of_its_own_and_keeps_it(server, chat):
    list(chat(concurrency=1).answers(questions(3)))
    list(chat(concurrency=1).answers(questions(3)))
    seeds = [request["body"]["seed"] for request in server.requests]
    assert len(set(seeds[:3])) == 3
    assert seeds[:3] == seeds[3:]


@pytest.mark.parametrize(
    "trouble",
    [fail(429), fail(500), fail(503), garbage(), garbage(b'{"choices": []}'), garbage(b"[]"), cut],
    ids=["429", "500", "503", "html", "no choice", "list", "cut"],
)
def test_trouble_that_passes_is_asked_again(server, chat, trouble):
    server.behaviours = [trouble, trouble]
    answer = only(chat())
    assert answer.error is None
    assert answer.text.startswith("This is what one sees.")
    assert answer.requests == 3


def test_a_late_answer_is_asked_again(server, chat):
    server.behaviours = [hang(3.0)]
    answer = only(chat(timeout=0.3))
    assert answer.requests == 2
    assert answer.error is None


def test_the_pause_is_what_the_server_asks_for(server, chat):
    server.behaviours = [fail(429, Retry_After="0.7")]
    start = time.monotonic()
    only(chat(backoff=0.0))
    assert time.monotonic() - start >= 0.7


def test_a_question_that_keeps_failing_is_given_up_and_the_others_go_on(server, chat):
    server.behaviours = [fail(500)] * 2
    found = list(chat(tries=2, concurrency=1).answers(questions(3)))
    assert [answer.error for answer in found] == ["HTTP 500, 2 times", None, None]


def test_a_server_that_is_down_ends_the_run(server, chat):
    server.otherwise = fail(503)
    with pytest.raises(CaanError, match="3 questions in a row failed"):
        list(chat(tries=2, concurrency=2).answers(questions(50)))
    assert sum(server.questions.values()) < 20


def test_no_server_at_all_is_one_clear_error():
    generator = ChatGenerator("m", base_url="http://127.0.0.1:9/v1", tries=2, backoff=0.01)
    with pytest.raises(CaanError, match=r"127\.0\.0\.1:9.*in a row failed"):
        list(generator.answers(questions(5)))


@pytest.mark.parametrize(
    ("status", "message"),
    [(401, "CAAN_API_KEY"), (403, "CAAN_API_KEY"), (404, "no such model"), (400, "no such model")],
)
def test_what_the_server_will_never_grant_ends_the_run_at_once(server, chat, status, message):
    server.otherwise = fail(status, "no such model")
    with pytest.raises(CaanError, match=message):
        list(chat(concurrency=1).answers(questions(5)))
    assert len(server.requests) == 1


def test_several_requests_are_under_way_at_once(server, chat):
    server.otherwise = hang(0.4)
    start = time.monotonic()
    assert len(list(chat(concurrency=8).answers(questions(8)))) == 8
    assert time.monotonic() - start < 8 * 0.4


def test_the_key_comes_from_the_environment(server, chat, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "second-choice")
    only(chat())
    monkeypatch.setenv("CAAN_API_KEY", "first-choice")
    only(chat())
    assert [request["key"] for request in server.requests] == ["Bearer second-choice", "Bearer first-choice"]


def test_the_hugging_face_token_is_not_sent_elsewhere(server, chat, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    only(chat())
    assert "hf_secret" not in str(server.requests)


def test_an_address_without_scheme_is_refused():
    with pytest.raises(CaanError, match="begins with http"):
        ChatGenerator("m", base_url="localhost:8000/v1")

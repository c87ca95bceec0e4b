"""The chat generator with the real client, against a local server that misbehaves."""

import threading
import time

import pytest
from chat_server import cut, fail, garbage, hang

from caan_hf.descriptions.chat import ChatGenerator
from caan_hf.descriptions.options import DescribeOptions
from caan_hf.descriptions.prompts import PROMPTS, Question
from caan_hf.errors import CaanError

SHAPE = PROMPTS[0]


def questions(count=1):
    return [Question(f"thing {number}", SHAPE, 0) for number in range(count)]


def only(generator):
    (answer,) = generator.answers(questions())
    return answer


def test_requests_follow_the_openai_protocol(server, chat):
    answer = only(chat(temperature=0.2, max_new_tokens=99))
    (request,) = server.requests
    assert request["path"] == "/v1/chat/completions"
    assert request["body"]["model"] == "some-model"
    assert request["body"]["temperature"] == 0.2
    assert request["body"]["max_tokens"] == 99
    assert request["body"]["messages"][-1]["content"].endswith(SHAPE.ask("thing 0"))
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
def test_transient_errors_are_retried(server, chat, trouble):
    server.behaviours = [trouble, trouble]
    answer = only(chat())
    assert answer.error is None
    assert answer.text.startswith("This is what one sees.")
    assert answer.requests == 3


def test_a_timeout_is_retried(server, chat):
    server.behaviours = [hang(3.0)]
    answer = only(chat(timeout=0.3))
    assert answer.requests == 2
    assert answer.error is None


def test_retry_after_sets_the_pause(server, chat):
    server.behaviours = [fail(429, Retry_After="0.7")]
    start = time.monotonic()
    only(chat(backoff=0.0))
    assert time.monotonic() - start >= 0.7


def test_a_question_fails_after_the_last_try_and_the_others_continue(server, chat):
    server.behaviours = [fail(500)] * 2
    found = list(chat(tries=2, concurrency=1).answers(questions(3)))
    assert [answer.error for answer in found] == ["HTTP 500, 2 times", None, None]


def test_a_server_that_is_down_ends_the_run(server, chat):
    server.otherwise = fail(503)
    with pytest.raises(CaanError, match="3 categories in a row failed"):
        list(chat(tries=2, concurrency=2).answers(questions(50)))
    assert sum(server.questions.values()) < 20


def test_no_server_at_all_ends_the_run_after_the_first_failures_and_names_the_address():
    generator = ChatGenerator(DescribeOptions("m", base_url="http://127.0.0.1:9/v1"), backoff=0.01)
    with pytest.raises(CaanError, match=r"127\.0\.0\.1:9/v1: does not answer \(.*, 3 times\)\. Check"):
        next(generator.answers(questions(5)))


def test_a_server_that_never_answers_in_time_ends_the_run(server, chat):
    server.otherwise = hang(1.0)
    with pytest.raises(CaanError, match=r"127\.0\.0\.1.*does not answer.*no answer within 0\.1 s, 3 times"):
        next(chat(timeout=0.1, concurrency=1).answers(questions(5)))
    assert sum(server.questions.values()) == 3


def test_a_server_that_vanishes_later_gets_all_tries(server, chat):
    generator = chat(tries=4, timeout=0.2)
    assert only(generator).error is None
    server.otherwise = hang(0.6)
    assert only(generator).requests == 4


@pytest.mark.parametrize(
    ("status", "message"),
    [(401, "CAAN_API_KEY"), (403, "CAAN_API_KEY"), (404, "no such model")],
)
def test_a_permanent_error_ends_the_run_at_once(server, chat, status, message):
    server.otherwise = fail(status, "no such model")
    with pytest.raises(CaanError, match=message):
        list(chat(concurrency=1).answers(questions(5)))
    assert len(server.requests) == 1


def test_requests_are_concurrent(server, chat):
    server.otherwise = hang(0.4)
    start = time.monotonic()
    assert len(list(chat(concurrency=8).answers(questions(8)))) == 8
    assert time.monotonic() - start < 8 * 0.4


def test_the_key_comes_from_the_environment_but_is_never_the_hugging_face_token(server, chat, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    only(chat())
    assert "hf_secret" not in str(server.requests)
    monkeypatch.setenv("OPENAI_API_KEY", "second-choice")
    only(chat())
    monkeypatch.setenv("CAAN_API_KEY", "first-choice")
    only(chat())
    assert [request["key"] for request in server.requests[1:]] == ["Bearer second-choice", "Bearer first-choice"]


@pytest.mark.parametrize("address", ["localhost:8000/v1", "http://", "http://[bad", "http://x:abc/v1", "ftp://x"])
def test_an_invalid_url_is_refused(address):
    with pytest.raises(CaanError, match="not a URL"):
        ChatGenerator(DescribeOptions("m", base_url=address))


@pytest.mark.parametrize("status", [400, 413, 422, 451])
def test_a_refused_question_is_not_retried(server, chat, status):
    server.behaviours = [fail(status, "content filter")]
    found = list(chat(concurrency=1).answers(questions(3)))
    assert [answer.error for answer in found] == [f"HTTP {status}: content filter", None, None]
    assert len(server.requests) == 3


def test_one_category_that_fails_does_not_end_the_run(server, chat):
    server.behaviours = [fail(500)] * 5
    asked = [Question(name, prompt, 0) for name in ("rifle", "bee") for prompt in PROMPTS]
    found = list(chat(concurrency=1, tries=1).answers(asked))
    assert [answer.question.category for answer in found if answer.error] == ["rifle"] * 5
    assert [answer.question.category for answer in found if not answer.error] == ["bee"] * 5


def test_unsupported_parameters_are_dropped(server, chat):
    server.behaviours = [
        fail(400, "Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead."),
        fail(400, "Unsupported value: 'temperature' does not support 0.7 with this model."),
    ]
    answer = only(chat(max_new_tokens=99))
    assert answer.error is None
    body = server.requests[-1]["body"]
    assert body["max_completion_tokens"] == 99
    assert not {"max_tokens", "temperature"} & set(body)


def test_concurrent_questions_survive_the_refusal_of_a_parameter(server, chat):
    all_sent = threading.Barrier(4)

    def refuse(handler):
        all_sent.wait(timeout=10)
        fail(400, "Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead.")(handler)

    server.behaviours = [refuse] * 4
    answers = list(chat(concurrency=4).answers(questions(4)))
    assert [answer.error for answer in answers] == [None] * 4


def test_the_key_is_hidden_in_error_messages(server, chat, monkeypatch):
    monkeypatch.setenv("CAAN_API_KEY", "very-secret\r\n")
    server.otherwise = fail(401, "the key very-secret is wrong")
    with pytest.raises(CaanError) as caught:
        list(chat().answers(questions()))
    assert server.requests[0]["key"] == "Bearer very-secret"
    assert "very-secret" not in str(caught.value)
    assert "the key *** is wrong" in str(caught.value)


def test_a_key_with_odd_characters_is_refused_without_showing_it(server, chat, monkeypatch):
    monkeypatch.setenv("CAAN_API_KEY", "s\u00e4cret")
    with pytest.raises(CaanError, match=r"CAAN_API_KEY.*invalid characters") as caught:
        chat()
    assert "cret" not in str(caught.value).replace("secret", "")


def test_inference_providers_need_a_key(server, monkeypatch):
    monkeypatch.setattr("caan_hf.descriptions.chat.get_token", lambda: None)
    with pytest.raises(CaanError, match="no key for Hugging Face Inference Providers"):
        ChatGenerator(DescribeOptions("some/model"))


def test_offline_mode_is_named_as_the_cause(server, chat, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(CaanError, match="HF_HUB_OFFLINE is set"):
        chat()
    assert server.requests == []


def test_a_proxy_that_fails_is_named(monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    for name in ("NO_PROXY", "no_proxy", "http_proxy"):
        monkeypatch.delenv(name, raising=False)
    options = DescribeOptions(model="m", base_url="http://127.0.0.1:10/v1")
    assert "through the proxy http://127.0.0.1:9 (NO_PROXY=127.0.0.1" in ChatGenerator(options).place

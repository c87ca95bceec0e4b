import socket

import pytest
from huggingface_hub import HfApi

from caan_hf import CaanError
from caan_hf.utils.hub import hub_errors


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


def test_a_hub_that_is_not_there(monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    api = HfApi(endpoint=f"http://127.0.0.1:{free_port()}", token="hf_x")
    with pytest.raises(CaanError, match=r"^me/tiny: the Hub cannot be reached") as error, hub_errors("me/tiny"):
        api.model_info("me/tiny")
    assert "\n" not in str(error.value)


def test_a_name_that_cannot_be_one():
    with pytest.raises(CaanError, match="not the name of a repository"), hub_errors("a/b/c"):
        HfApi().model_info("a/b/c")


def test_offline_by_request(monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(CaanError, match="unset HF_HUB_OFFLINE"), hub_errors("me/tiny"):
        HfApi(token="hf_x").model_info("me/tiny")


def test_a_token_of_other_characters():
    with pytest.raises(CaanError, match="character that no token has"), hub_errors("me/tiny"):
        HfApi(endpoint=f"http://127.0.0.1:{free_port()}", token="hf_é").model_info("me/tiny")


def test_other_errors_pass():
    with pytest.raises(RuntimeError, match="mine"), hub_errors("me/tiny"):
        raise RuntimeError("mine")

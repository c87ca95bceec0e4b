import logging
import socket
import time

import httpx2
import pytest
from hub_server import HubServer
from huggingface_hub import HfApi, hf_hub_download, set_client_factory
from huggingface_hub.utils._http import default_client_factory

from caan_hf import CaanError
from caan_hf.utils import hub
from caan_hf.utils.hub import hub_errors, limit_waiting


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")


@pytest.fixture
def limits():
    set_client_factory(default_client_factory)  # other tests of this process may have limited it already
    limit_waiting()
    yield
    set_client_factory(default_client_factory)


@pytest.fixture
def closed_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


def api(port: int, token: str = "hf_write") -> HfApi:
    return HfApi(endpoint=f"http://127.0.0.1:{port}", token=token)


def test_an_unreachable_hub_is_a_one_line_error(closed_port):
    with pytest.raises(CaanError, match=r"^me/tiny: the Hub cannot be reached") as error, hub_errors("me/tiny"):
        api(closed_port).model_info("me/tiny")
    assert "\n" not in str(error.value)


def test_a_download_from_an_unreachable_hub_ends_soon_and_logs_nothing(
    limits, closed_port, tmp_path, caplog, monkeypatch
):
    monkeypatch.setattr(hub._LimitedClient, "has_connected", False)
    monkeypatch.setattr(logging.getLogger("huggingface_hub"), "propagate", True)
    start = time.monotonic()
    place = {"endpoint": f"http://127.0.0.1:{closed_port}", "cache_dir": tmp_path}
    with pytest.raises(CaanError, match=r"^me/tiny: .*127\.0\.0\.1.*connection"), hub_errors("me/tiny"):
        hf_hub_download("me/tiny", "config.json", **place)
    assert time.monotonic() - start < 10
    assert not caplog.records
    snapshot = tmp_path / "models--me--tiny" / "snapshots" / ("0" * 40)
    snapshot.mkdir(parents=True)
    (snapshot / "config.json").write_text("{}")
    (tmp_path / "models--me--tiny" / "refs").mkdir()
    (tmp_path / "models--me--tiny" / "refs" / "main").write_text("0" * 40)
    assert hf_hub_download("me/tiny", "config.json", **place) == str(snapshot / "config.json")


def test_a_hub_that_starts_to_answer_is_tried_again(limits, closed_port, monkeypatch):
    monkeypatch.setattr(hub._LimitedClient, "has_connected", False)
    monkeypatch.setattr(hub, "RETRY_SECONDS", (0.1,))
    with HubServer() as server:
        tried = []

        def connect(self, request, **options):
            tried.append(request.url)
            if len(tried) == 2:
                request.url = request.url.copy_with(port=server.port)
            return send(self, request, **options)

        send = httpx2.Client.send
        monkeypatch.setattr(httpx2.Client, "send", connect)
        assert api(closed_port).whoami()["name"]
    assert len(tried) == 2


def test_a_hub_that_does_not_answer_is_a_one_line_error_after_the_time_limit(limits, monkeypatch):
    monkeypatch.setattr(hub, "ANSWER_SECONDS", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        start = time.monotonic()
        with pytest.raises(CaanError, match=r"cannot be reached.*timed out"), hub_errors("me/tiny"):
            api(silent.getsockname()[1]).whoami()
        assert time.monotonic() - start < 10


@pytest.mark.parametrize("headers", [{"Retry-After": "3600"}, {"RateLimit": '"api";r=0;t=3600'}])
def test_a_long_wait_that_the_hub_asks_for_is_an_error(limits, headers):
    with HubServer() as server:
        server.fail("GET", "/tree/", status=429, headers=headers)
        with pytest.raises(CaanError, match=r"me/tiny: .*wait 3600 seconds \(HTTP 429\)"), hub_errors("me/tiny"):
            list(api(server.port).list_repo_tree("me/tiny"))
        assert len(server.requests) == 1


def test_a_long_wait_during_an_upload_is_an_error(limits, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DISABLE_XET", True)
    with HubServer() as server:
        api(server.port).create_repo("me/tiny")
        server.fail("PUT", "^/lfs/", status=503, headers={"Retry-After": "3600"})
        with pytest.raises(CaanError, match=r"wait 3600 seconds"), hub_errors("me/tiny"):
            api(server.port).upload_file(path_or_fileobj=b"\0", path_in_repo="a.bin", repo_id="me/tiny")


def test_a_short_wait_is_logged_and_the_request_repeated(limits, caplog, monkeypatch):
    monkeypatch.setattr(time, "sleep", lambda seconds: None)
    monkeypatch.setattr(logging.getLogger("huggingface_hub"), "propagate", True)
    with HubServer() as server:
        api(server.port).create_repo("me/tiny")
        server.fail("GET", "/tree/", status=429, headers={"Retry-After": "30"}, times=1)
        assert [entry.path for entry in api(server.port).list_repo_tree("me/tiny")] == [".gitattributes"]
    assert "Waiting 31.0s" in caplog.text


def test_an_invalid_name_is_a_one_line_error():
    with pytest.raises(CaanError, match="not a repository name"), hub_errors("a/b/c"):
        HfApi().model_info("a/b/c")


def test_offline_mode_is_named(monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(CaanError, match="Unset HF_HUB_OFFLINE"), hub_errors("me/tiny"):
        HfApi(token="hf_x").model_info("me/tiny")


def test_a_token_with_invalid_characters_is_a_one_line_error(closed_port):
    with pytest.raises(CaanError, match="invalid characters"), hub_errors("me/tiny"):
        api(closed_port, token="hf_é").model_info("me/tiny")


def test_other_errors_are_not_changed():
    with pytest.raises(RuntimeError, match="mine"), hub_errors("me/tiny"):
        raise RuntimeError("mine")

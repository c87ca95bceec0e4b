"""Downloads from a local Hub server in fresh processes, because the client reads its settings when it is imported."""

import subprocess
import sys

import pytest
from hub_server import HubServer

DOWNLOAD = """
import sys
from caan_hf import CaanError
from caan_hf.utils.download import download

try:
    print(download(sys.argv[1], patterns=["*"]) / ".gitattributes")
except CaanError as error:
    print("refused:", error)
"""


@pytest.fixture
def download(tmp_path):
    with HubServer() as server:

        def run(script=DOWNLOAD):
            done = subprocess.run(
                [sys.executable, "-c", script, "me/tiny"],
                env=server.client_environment(tmp_path / "home"),
                check=False,
                capture_output=True,
                text=True,
                timeout=120,
            )
            assert done.returncode == 0, done.stderr
            return done.stdout

        run("import sys; from huggingface_hub import create_repo; create_repo(sys.argv[1])")
        yield server, run


def test_a_long_wait_is_an_error_if_the_cache_has_nothing(download):
    server, run = download
    server.fail("GET", "/api/models/me/tiny", status=429, headers={"Retry-After": "3600"})
    assert "refused: me/tiny: the Hub asked to wait 3600 seconds" in run()


def test_the_cache_is_used_in_place_of_a_long_wait(download):
    server, run = download
    first = run()
    assert ".gitattributes" in first
    server.fail("GET", "/api/models/me/tiny", status=429, headers={"Retry-After": "3600"})
    assert run() == first

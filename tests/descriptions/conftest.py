import pytest
from chat_server import ChatServer

from caan_hf.descriptions.chat import ChatGenerator


@pytest.fixture
def server(monkeypatch):
    for name in ("CAAN_API_KEY", "OPENAI_API_KEY", "HF_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    with ChatServer() as server:
        yield server


@pytest.fixture
def chat(server):
    """A generator that asks the server, with short pauses."""

    def make(**options):
        return ChatGenerator("some-model", base_url=server.url, **{"backoff": 0.01, "timeout": 5.0, **options})

    return make

import pytest
from chat_server import ChatServer

from caan_hf.descriptions.chat import ChatGenerator
from caan_hf.descriptions.describe import Report, describe
from caan_hf.descriptions.options import DescribeOptions


@pytest.fixture
def server(monkeypatch):
    for name in ("CAAN_API_KEY", "OPENAI_API_KEY", "HF_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    with ChatServer() as server:
        yield server


@pytest.fixture
def chat(server):
    """A generator that asks the server, with short pauses."""

    def make(*, backoff: float = 0.01, **options) -> ChatGenerator:
        options = {"model": "some-model", "base_url": server.url, "timeout": 5.0, **options}
        return ChatGenerator(DescribeOptions(**options), backoff=backoff)

    return make


@pytest.fixture
def run(chat):
    """Describes categories with the server, by default with the prompts "shape" and "parts"."""

    def run_describe(categories, out, *, generator=None, prompts="shape,parts", samples=1, **options) -> Report:
        generator = generator or chat(**options)
        chosen = DescribeOptions(model="some-model", prompts=prompts, samples=samples)
        return describe(categories, out, chosen, generator=generator)

    return run_describe

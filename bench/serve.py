"""Measure `caan serve` under load beside the API of the demo (see docs/results.md).

    python bench/serve.py GALLERY [--models EXPORT ...] [--clients 1 8 64] [--seconds 15] [--record FILE]

Both servers run in processes of their own, with the model of GALLERY and with each of --models. They are loaded in
turns, so that other work on the machine slows down both. CPU time is that of the server. Each client sends drawings of
the sample benchmark, one after the other, and asks for 12 photos without pictures. A client of the demo uploads the
drawing, starts the search and reads the answer, as `gradio_client` does. A client that is told that too many requests
wait tries again after a second.
"""

import asyncio
import io
import json
import os
import re
import statistics
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from subprocess import Popen
from typing import Any

import httpx
from common import record_parser, run, server, write_record

from caan_hf.benchmarks.sample import SAMPLE_CATEGORIES, draw_object
from caan_hf.gallery import Gallery

NUM_DRAWINGS = 20
K = 12
BUSY = 503


def main() -> None:
    parser = record_parser(__doc__)
    parser.add_argument("gallery")
    parser.add_argument("--models", nargs="*", default=[])
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 8, 64])
    parser.add_argument("--seconds", type=float, default=15)
    options = parser.parse_args()
    rows = []
    for model in [None, *options.models]:
        with ExitStack() as stack:
            apis = [stack.enter_context(started(api, options.gallery, model)) for api in (ServiceApi, DemoApi)]
            for api in apis:
                asyncio.run(Load(api).run(1, 3))  # warms up
            for clients in options.clients:
                for api in apis:
                    load = Load(api)
                    asyncio.run(load.run(clients, options.seconds))
                    rows.append({"server": api.name, "model": Path(model).name if model else None, **load.row()})
                    print(rows[-1], flush=True)
    record = {"photos": len(Gallery.open(options.gallery)), "cores": os.cpu_count(), "seconds": options.seconds}
    write_record(options.record, record | {"rows": rows})


class Api:
    """Searches by a server.

    Args:
        address: Its address.
        process: Its process.
        gallery: Name of the gallery.
    """

    name: str
    command: tuple[str, ...]  # module and arguments

    def __init__(self, address: str, process: Popen, gallery: str):
        self.address = address
        self.process = process
        self.gallery = gallery

    async def search(self, web: httpx.AsyncClient, drawing: bytes) -> int | None:
        """Status of the answer; None if it does not hold K photos."""
        raise NotImplementedError

    def cpu_seconds(self) -> float:
        """CPU time of the server (Linux)."""
        ticks = Path(f"/proc/{self.process.pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[11:13]
        return sum(map(int, ticks)) / os.sysconf("SC_CLK_TCK")


class ServiceApi(Api):
    """Searches by `caan serve`."""

    name = "caan serve"
    command = ("caan_hf", "serve", "{gallery}", "--port", "0")

    async def search(self, web: httpx.AsyncClient, drawing: bytes) -> int | None:
        answer = await web.post("/v1/search", params={"k": K}, files={"sketch": drawing})
        is_short = answer.status_code == 200 and len(answer.json()["results"]) != K
        return None if is_short else answer.status_code


class DemoApi(Api):
    """Searches by the endpoint /search of `caan-demo`."""

    name = "caan-demo"
    command = ("caan_demo.cli", "--gallery", "{gallery}", "--no-browser")

    async def search(self, web: httpx.AsyncClient, drawing: bytes) -> int | None:
        uploaded = await web.post("/gradio_api/upload", files={"files": ("sketch.png", drawing)})
        sketch = {"path": uploaded.json()[0], "meta": {"_type": "gradio.FileData"}}
        started = await web.post("/gradio_api/call/search", json={"data": [sketch, K, None, self.gallery, False, ""]})
        if started.status_code != 200:
            return started.status_code
        answer = await web.get(f"/gradio_api/call/search/{started.json()['event_id']}")
        complete = re.search(r"event: complete\ndata: (.*)", answer.text)
        return 200 if complete and len(json.loads(complete[1])[0]) == K else None


class Load:
    """Clients of a server, with the seconds that they waited.

    Args:
        api: How they search.
    """

    def __init__(self, api: Api):
        self.api = api
        self.drawings = drawings()
        self.answered: list[float] = []
        self.refused = self.failed = 0

    async def run(self, clients: int, seconds: float) -> None:
        self.clients, self.end = clients, time.monotonic() + seconds
        start, cpu = time.monotonic(), self.api.cpu_seconds()
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=None)
        async with httpx.AsyncClient(base_url=self.api.address, limits=limits, timeout=180, trust_env=False) as web:
            await asyncio.gather(*(self.client(web, number) for number in range(clients)))
        self.seconds, self.cpu = time.monotonic() - start, self.api.cpu_seconds() - cpu

    async def client(self, web: httpx.AsyncClient, number: int) -> None:
        while (start := time.monotonic()) < self.end:
            number += 1
            status = await self.api.search(web, self.drawings[number % len(self.drawings)])
            if status == 200:
                self.answered.append(time.monotonic() - start)
            elif status == BUSY:
                self.refused += 1
                await asyncio.sleep(1)
            else:
                self.failed += 1

    def row(self) -> dict[str, Any]:
        high = statistics.quantiles(self.answered, n=20)[-1] if len(self.answered) > 1 else self.answered[0]
        return {
            "clients": self.clients,
            "per_second": round(len(self.answered) / self.seconds, 2),
            "p50": round(statistics.median(self.answered), 4),
            "p95": round(high, 4),
            "cpu": round(self.cpu / len(self.answered), 4),
            "refused": self.refused,
            "failed": self.failed,
        }


def drawings() -> list[bytes]:
    files = []
    for name in list(SAMPLE_CATEGORIES)[:NUM_DRAWINGS]:
        content = io.BytesIO()
        draw_object(name, "sketch", seed=1, index=0).save(content, "PNG")
        files.append(content.getvalue())
    return files


@contextmanager
def started(api: type[Api], gallery: str, model: str | None) -> Iterator[Api]:
    with server(*(word.format(gallery=gallery) for word in api.command), model=model) as (address, process):
        yield api(address, process, Path(gallery).name)


if __name__ == "__main__":
    run(main)

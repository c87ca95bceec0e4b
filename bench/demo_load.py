"""Measure the demo under load: answers per second, waiting times, and whether the page still opens.

    python bench/demo_load.py GALLERY [--clients 200] [--seconds 60] [--model EXPORT]

`caan-demo` runs in a process of its own. Each client sends drawings as the page does, one after the other; when it is
told that the queue is full, it tries again after a second. Another client opens the page twice per second.
"""

import asyncio
import json
import statistics
import time

import httpx
from caan_demo.sketch_pad import to_pad
from common import options_parser, peak_memory, run, server

from caan_hf.benchmarks.sample import SAMPLE_CATEGORIES, draw_object

NUM_DRAWINGS = 20


def main() -> None:
    parser = options_parser(__doc__)
    parser.add_argument("gallery")
    parser.add_argument("--model")
    parser.add_argument("--clients", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=60)
    options = parser.parse_args()
    drawings = [to_pad(draw_object(name, "sketch", seed=1, index=0)) for name in list(SAMPLE_CATEGORIES)[:NUM_DRAWINGS]]
    words = ("caan_demo.cli", "--gallery", options.gallery, "--no-browser")
    with server(*words, model=options.model) as (address, process):
        before = peak_memory(process.pid)
        load = Load(address, drawings)
        asyncio.run(load.run(options.clients, options.seconds))
        load.print(options.clients, options.seconds)
        print(f"  memory of the server     {before:.2f} -> {peak_memory(process.pid):.2f} GiB")


class Load:
    """Clients of a demo, with the seconds that they waited.

    Args:
        address: The demo.
        drawings: Values of the pad.
    """

    def __init__(self, address: str, drawings: list[str]):
        self.address = address
        self.drawings = drawings
        self.answered: list[float] = []
        self.opened: list[float] = []
        self.refused = self.failed = 0

    async def run(self, clients: int, seconds: float) -> None:
        self.end = time.monotonic() + seconds
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=0)  # the server closes idle connections
        async with httpx.AsyncClient(base_url=self.address, limits=limits, timeout=180) as web:
            config = (await web.get("/config")).json()
            self.search = next(event["id"] for event in config["dependencies"] if event["api_name"] == "_search")
            components = (one["props"] for one in config["components"])
            self.gallery = next(props["value"] for props in components if props.get("elem_id") == "gallery")
            await asyncio.gather(self.open_page(web), *(self.draw(web, number) for number in range(clients)))

    async def draw(self, web: httpx.AsyncClient, client: int) -> None:
        while (start := time.monotonic()) < self.end:
            drawing = self.drawings[(client + len(self.answered)) % len(self.drawings)]
            session = f"{client}-{start}"
            data = [drawing, None, False, self.gallery, False, None, ""]  # two of them are states of the session
            body = {"data": data, "fn_index": self.search, "session_hash": session}
            joined = await web.post("/gradio_api/queue/join", json=body)
            if joined.status_code == 503:
                self.refused += 1
                await asyncio.sleep(1)
            elif joined.status_code == 200 and await self.is_answered(web, session):
                self.answered.append(time.monotonic() - start)
            else:
                self.failed += 1

    async def is_answered(self, web: httpx.AsyncClient, session: str) -> bool:
        async with web.stream("GET", "/gradio_api/queue/data", params={"session_hash": session}) as events:
            async for line in events.aiter_lines():
                if line.startswith("data:") and "process_completed" in line:
                    return len(json.loads(line[5:])["output"].get("data", [{}])[0].get("value", [])) == 12
        return False

    async def open_page(self, web: httpx.AsyncClient) -> None:
        while (start := time.monotonic()) < self.end:
            (await web.get("/")).raise_for_status()
            self.opened.append(time.monotonic() - start)
            await asyncio.sleep(0.5)

    def print(self, clients: int, seconds: float) -> None:
        print(f"{clients} clients, {seconds:.0f} s")
        print(f"  answers per second       {len(self.answered) / seconds:.1f}")
        for name, waited in (("answer", self.answered), ("page", self.opened)):
            middle, high = statistics.median(waited), statistics.quantiles(waited, n=20)[-1]
            print(f"  seconds to the {name:9} p50 {middle:.2f}, p95 {high:.2f}, longest {max(waited):.2f}")
        print(f"  refused (queue is full)  {self.refused}")
        print(f"  failed                   {self.failed}")


if __name__ == "__main__":
    run(main)

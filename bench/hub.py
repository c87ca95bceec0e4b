"""Push a checkpoint to a local Hub, load it in each way, compare the features and list the requests.

    python bench/hub.py CHECKPOINT DATA [--results metrics.json] [--recipe recipe.yaml] [--images 64]

CHECKPOINT is a folder that training saved, DATA a prepared benchmark. The Hub is the server of the tests; the client is
the real one. Each step runs in a new process; the processes that load remote code cannot import the package.
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from common import options_parser, run

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from hub_server import HubServer

REPO = "me/round-trip"
ENCODE = """
import json, os, sys, time
import datasets, numpy as np, torch

source, revision, data, images, out, package = sys.argv[1:]
options = {"revision": revision} if revision else {}
if package == "with":
    import caan_hf
else:
    try:
        import caan_hf.errors
        sys.exit("the package can be imported")
    except ModuleNotFoundError:
        options["trust_remote_code"] = True
from transformers import AutoModel, AutoProcessor

start = time.perf_counter()
model, processor = AutoModel.from_pretrained(source, **options), AutoProcessor.from_pretrained(source, **options)
seconds = time.perf_counter() - start
split = datasets.load_from_disk(data)["test"]
outputs = []
with torch.no_grad():
    for modality in ("sketch", "photo"):
        rows = np.flatnonzero(np.array(split["modality"]) == split.features["modality"].str2int(modality))
        step = max(1, len(rows) // int(images))
        chosen = [split[int(row)]["image"] for row in rows[::step][: int(images)]]
        inputs = processor(sketches=chosen) if modality == "sketch" else processor(photos=chosen)
        features = getattr(model, f"get_{modality}_features")(**inputs)
        outputs += [features.global_embeds, features.local_embeds]
    outputs.append(model.get_local_scores(outputs[1], outputs[3]))
np.savez(out, *(tensor.float().numpy() for tensor in outputs))
print(json.dumps(seconds))
"""


def main() -> None:
    parser = options_parser(__doc__)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("data", type=Path)
    parser.add_argument("--results", type=Path)
    parser.add_argument("--recipe", type=Path)
    parser.add_argument("--images", type=int, default=64)
    options = parser.parse_args()
    with HubServer() as server, TemporaryDirectory() as folder:
        round_trip(server, Path(folder), options)


def round_trip(server: HubServer, folder: Path, options) -> None:
    extra = [
        word
        for name in ("results", "recipe")
        if (value := getattr(options, name))
        for word in (f"--{name}", str(value))
    ]
    push = [sys.executable, "-m", "caan_hub.cli.main", "push", str(options.checkpoint), REPO, *extra]
    for _ in range(2):
        done = subprocess.run(
            push, env=server.client_environment(folder / "pusher"), capture_output=True, text=True, check=True
        )
        print(done.stdout)
    server.repository(REPO).tags["v1"] = commit = server.repository(REPO).branches["main"]

    def encode(name: str, source: str, home: str, *, package: str, revision: str = "", offline: bool = False) -> dict:
        server.requests.clear()
        libraries = [path for path in sys.path if path.endswith(("site-packages", "dist-packages"))]
        environment = server.client_environment(folder / home, token=None)
        environment |= {"HF_HUB_OFFLINE": "1"} if offline else {}
        environment |= {"PYTHONPATH": os.pathsep.join(libraries)} if package == "without" else {}
        flags = ["-S"] if package == "without" else []
        out = folder / f"{len(list(folder.glob('*.npz')))}.npz"
        words = [source, revision, str(options.data), str(options.images), str(out), package]
        done = subprocess.run(
            [sys.executable, *flags, "-c", ENCODE, *words], env=environment, capture_output=True, text=True, check=False
        )
        if done.returncode:
            sys.exit(f"{name}: {done.stderr}")
        return {
            "name": name,
            "seconds": json.loads(done.stdout),
            "arrays": np.load(out),
            "requests": list(server.requests),
        }

    local = encode("local folder", str(options.checkpoint), "none", package="with", offline=True)
    ways = [
        encode("with the package", REPO, "a", package="with"),
        encode("with the package, again", REPO, "a", package="with"),
        encode("without it, remote code", REPO, "b", package="without"),
        encode("offline, from the cache", REPO, "b", package="without", offline=True),
        encode("at a tag", REPO, "c", package="with", revision="v1"),
        encode("at a commit", REPO, "d", package="without", revision=commit),
    ]
    print("| loaded | maximum difference | requests | from_pretrained |\n| --- | ---: | ---: | ---: |")
    for way in ways:
        difference = max(float(np.abs(way["arrays"][key] - local["arrays"][key]).max()) for key in local["arrays"])
        print(f"| {way['name']} | {difference:.1e} | {len(way['requests'])} | {way['seconds']:.2f} s |")
    for way in ways:
        print(f"\n{way['name']}")
        for method, path in way["requests"]:
            print(f"  {method:4} {path.replace(commit, 'COMMIT')}")


if __name__ == "__main__":
    run(main)

"""Loading a pushed model in fresh processes, with the package and without it."""

import os
import re
import sys
from pathlib import Path

import pytest
import torch
from hub_repositories import Blob, Repository
from hub_server import repositories_of
from PIL import Image
from transformers import ViTImageProcessor

from caan_hf import CaanConfig, CaanModel, CaanProcessor
from caan_hf.publishing.folder import save_published

pytestmark = pytest.mark.slow

WITH_PACKAGE = "import caan_hf\noptions = {}\n"
WITHOUT_PACKAGE = """
try:
    import caan_hf.errors
except ModuleNotFoundError:
    pass
else:
    raise AssertionError("the package is there")
options = {"trust_remote_code": True}
"""
LOAD = """
import os, sys
import torch
from PIL import Image
from transformers import AutoConfig, AutoImageProcessor, AutoModel, AutoProcessor

repo, picture, out, revision = sys.argv[1:]
options["revision"] = revision
config = AutoConfig.from_pretrained(repo, **options)
model = AutoModel.from_pretrained(repo, **options)
processor = AutoProcessor.from_pretrained(repo, **options)
images = AutoImageProcessor.from_pretrained(repo, **options)
assert [type(part).__name__ for part in (config, model, processor)] == ["CaanConfig", "CaanModel", "CaanProcessor"]
assert model.text_model is None and not model.training
with torch.no_grad():
    sketches = model.get_sketch_features(**processor(sketches=[picture]))
    photos = model.get_photo_features(**processor(photos=[picture]))
    direct = model(**images(Image.open(picture).convert("RGB"), return_tensors="pt"))
torch.testing.assert_close(direct.global_embeds, photos.global_embeds)
logits = model.get_local_scores(sketches.local_embeds, photos.local_embeds)
torch.save([*sketches.to_tuple(), *photos.to_tuple(), logits], out)
"""
PLACED = """
from transformers import pipeline
first = photos.global_embeds
for asked in ({"device_map": "cpu"}, {"device_map": "auto"}, {"dtype": torch.bfloat16}):
    other = AutoModel.from_pretrained(repo, **options, **asked)
    assert other.dtype == asked.get("dtype", torch.float32)
    found = other.get_photo_features(**processor(photos=[picture])).global_embeds
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, first, atol=0 if other.dtype == torch.float32 else 0.02, rtol=0)
features = pipeline("image-feature-extraction", model=repo, **options)(picture, return_tensors=True)
torch.testing.assert_close(features, first)
"""


def without_package(client, script: str, *arguments, **environment) -> str:
    """Run a script in a Python with the libraries but without this package, which a .pth file installs."""
    libraries = [path for path in sys.path if path.endswith(("site-packages", "dist-packages"))]
    return client.python(script, *arguments, flags=["-S"], PYTHONPATH=os.pathsep.join(libraries), **environment)


@pytest.fixture(scope="module")
def picture(tmp_path_factory) -> Path:
    file = tmp_path_factory.mktemp("picture") / "picture.png"
    pixels = torch.zeros(40, 50, 3, dtype=torch.uint8) + 255
    pixels[10:30, 20:23] = 0
    Image.fromarray(pixels.numpy()).save(file)
    return file


@pytest.fixture
def pushed(client, server, checkpoint) -> Repository:
    """A repository that contains the model, with its weights in several files."""
    status, printed = client.hub("push", checkpoint, "me/tiny", "--max-shard-size", "100KB")
    assert status == 0, printed
    server.requests.clear()
    return server.repository("me/tiny")


@pytest.fixture
def expected(checkpoint, picture) -> list[torch.Tensor]:
    model, processor = CaanModel.from_pretrained(checkpoint), CaanProcessor.from_pretrained(checkpoint)
    with torch.no_grad():
        sketches = model.get_sketch_features(**processor(sketches=[picture]))
        photos = model.get_photo_features(**processor(photos=[picture]))
        logits = model.get_local_scores(sketches.local_embeds, photos.local_embeds)
    return [*sketches.to_tuple(), *photos.to_tuple(), logits]


def same(out: Path, expected: list[torch.Tensor]) -> None:
    for found, wanted in zip(torch.load(out), expected, strict=True):
        torch.testing.assert_close(found, wanted, atol=1e-6, rtol=0)


def test_a_model_loads_with_the_package(client, server, pushed, picture, expected, tmp_path):
    assert sum(name.endswith(".safetensors") for name in pushed.files()) > 1
    script = WITH_PACKAGE + LOAD + PLACED
    client.python(script, "me/tiny", picture, tmp_path / "out.pt", "main", token=None, HF_HOME=str(tmp_path))

    same(tmp_path / "out.pt", expected)
    assert repositories_of(server.requests) == {"me/tiny"}  # no backbone is ever fetched
    assert not any(path.endswith(".py") for _, path in server.requests)
    fetched = [path.rpartition("/")[2] for method, path in server.requests if method == "GET" and "/resolve/" in path]
    assert sorted(fetched) == ["config.json", "model.safetensors.index.json", "processor_config.json"]


def test_a_model_loads_without_the_package_at_a_tag_and_then_offline(
    client, server, pushed, picture, expected, tmp_path
):
    pushed.tags["v1"] = pushed.branches["main"]
    pushed.commit("main", "ruined", {**pushed.find("main").files, "config.json": Blob(b"{}")})
    script, home = WITHOUT_PACKAGE + LOAD, {"HF_HOME": str(tmp_path / "home")}
    server.fail("GET", "^/large/", cut=20_000, times=1)  # the connection breaks once: the client goes on
    server.fail("HEAD", "/resolve/.*/config.json", delay=0.5, times=1)
    without_package(client, script, "me/tiny", picture, tmp_path / "online.pt", "v1", token=None, **home)

    same(tmp_path / "online.pt", expected)
    assert repositories_of(server.requests) == {"me/tiny"}
    assert all(fault.seen == 1 for fault in server.faults)
    server.requests.clear()
    offline = {"HF_HUB_OFFLINE": "1", **home}
    without_package(client, script, "me/tiny", picture, tmp_path / "offline.pt", "v1", token=None, **offline)
    same(tmp_path / "offline.pt", expected)
    assert not server.requests


TIMM = {"model_type": "timm_wrapper", "architecture": "resnet10t", "model_args": {"features_only": False}}
LOAD_TIMM = """
import torch
from transformers import AutoModel
model = AutoModel.from_pretrained("me/timm", **options)
with torch.no_grad():
    print(model.get_photo_features(torch.ones(1, 3, 64, 64)).global_embeds.abs().sum().item())
"""


def test_a_private_model_with_a_timm_tower_loads_without_the_package(client, server, tmp_path):
    torch.manual_seed(0)
    model = CaanModel(
        CaanConfig(sketch_config=TIMM, photo_config=TIMM, tie_visual_towers=True, image_size=64, local_grid=2)
    ).eval()
    save_published(model, CaanProcessor(ViTImageProcessor()), tmp_path / "timm")
    server.repositories["model", "me/timm"] = repository = Repository("model", "me/timm", private=True)
    repository.commit("main", "timm", server.store(tmp_path / "timm"))

    printed = without_package(client, WITHOUT_PACKAGE + LOAD_TIMM, HF_HOME=str(tmp_path))
    with torch.no_grad():
        wanted = model.get_photo_features(torch.ones(1, 3, 64, 64)).global_embeds.abs().sum().item()
    assert float(re.findall(r"[\d.]+", printed)[-1]) == pytest.approx(wanted, abs=1e-4)
    assert repositories_of(server.requests) == {"me/timm"}

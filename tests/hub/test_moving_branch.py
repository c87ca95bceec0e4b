"""A branch that moves while a model is loaded: all files come from the commit before the move."""

import json
from functools import partial

import pytest
import torch
from hub_repositories import Commit, Repository
from PIL import Image

from caan_hf import CaanProcessor, load_encoder

pytestmark = pytest.mark.slow

OPEN = """
import json, sys
from caan_export.source import Source
from caan_hf.gallery import Gallery

photo, folder, *repositories = sys.argv[1:]
for repository in repositories:
    gallery = Gallery.create(f"{folder}/{repository}", model=repository, device="cpu")
    gallery.add([photo])
    stamped = gallery.info.identity
    print(json.dumps([stamped.weights, stamped.preprocessing]))
    source = Source.find(repository + "-export")
    print(json.dumps([source.load().identity.weights, source.load().identity.preprocessing, source.revision]))
"""
MOVES_AFTER = (  # requests; {} is the repository
    "^/api/models/{}",
    "{}/.*/config.json",
    "{}/.*/processor_config.json",
    "{}/.*/model.safetensors.index.json",
    "^/large/{}/",
)


@pytest.fixture
def commits(server, tmp_path, make_model, processor) -> list[Commit]:
    """Two commits with other weights, another processor and several files of weights."""
    made = []
    for seed, margin in ((0, 0.1), (1, 0.2)):
        torch.manual_seed(seed)
        folder = tmp_path / f"model-{seed}"
        make_model(text_config=None).save_pretrained(folder, max_shard_size="20KB")
        CaanProcessor(processor.image_processor, sketch_margin=margin).save_pretrained(folder)
        made.append(Commit(server.store(folder), None, f"seed {seed}"))
    return made


def test_identity_weights_and_processor_come_from_one_commit(client, server, commits, tmp_path):
    names = [f"me/tiny-{number}" for number in range(len(MOVES_AFTER))]
    shas, faults = {}, []
    for name, path in zip(names, MOVES_AFTER, strict=True):
        for repo_id in (name, f"{name}-export"):
            repository = server.repositories["model", repo_id] = Repository("model", repo_id)
            shas[repo_id], new = (repository.commit("main", commit.title, commit.files).sha for commit in commits)
            repository.branches["main"] = shas[repo_id]
            move = partial(repository.branches.update, main=new)
            faults.append(server.fail("GET", path.format(f"{repo_id}(?![-\\w])"), times=1, then=move))
    Image.new("RGB", (40, 40), "green").save(tmp_path / "photo.png")
    home = {"HF_HOME": str(tmp_path / "home")}
    printed = client.python(OPEN, tmp_path / "photo.png", tmp_path, *names, **home).splitlines()

    assert all(fault.seen == 1 for fault in faults)
    expected = load_encoder(tmp_path / "model-0", device="cpu").identity
    assert len(printed) == 2 * len(names)
    for name, gallery, export in zip(names, printed[::2], printed[1::2], strict=True):
        assert json.loads(gallery) == [expected.weights, expected.preprocessing]
        assert json.loads(export) == [expected.weights, expected.preprocessing, shas[f"{name}-export"]]

"""Indexes as `caan index` does, but commits every two photos: for processes that tests kill or run together."""

import multiprocessing
import os


def start_indexer(checkpoint, photos, gallery) -> multiprocessing.Process:
    """Index `photos` into `gallery` in a process of its own."""
    processes = multiprocessing.get_context("forkserver")
    processes.set_forkserver_preload(["caan_hf.gallery.checkpoint_encoder"])  # torch is imported once, not by each
    process = processes.Process(target=index, args=(str(checkpoint), str(photos), str(gallery)))
    process.start()
    return process


def index(checkpoint: str, photos: str, gallery: str) -> None:
    """What such a process does."""
    os.environ["HF_HUB_OFFLINE"] = "1"
    import torch

    from caan_hf.gallery import Gallery, indexing

    torch.set_num_threads(1)
    indexing.COMMIT_SECONDS = 0
    Gallery.create(gallery, model=checkpoint, device="cpu").add(photos, batch_size=2, threads=1)

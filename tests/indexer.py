"""Indexes photos in another process and commits after every two photos, for tests that kill or combine processes."""

import multiprocessing
import os


def start_indexer(checkpoint, photos, gallery) -> multiprocessing.Process:
    """Index `photos` into `gallery` in a new process."""
    processes = multiprocessing.get_context("forkserver")
    processes.set_forkserver_preload(["caan_hf.encoding.checkpoint"])  # torch is imported only once
    process = processes.Process(target=index, args=(str(checkpoint), str(photos), str(gallery)))
    process.start()
    return process


def index(checkpoint: str, photos: str, gallery: str) -> None:
    """Index photos; runs in the new process."""
    os.environ["HF_HUB_OFFLINE"] = "1"
    import torch

    from caan_hf.gallery import Gallery, indexing

    torch.set_num_threads(1)
    indexing.COMMIT_SECONDS = 0
    Gallery.create(gallery, model=checkpoint, device="cpu", dtype="float32").add(photos, batch_size=2, workers=1)

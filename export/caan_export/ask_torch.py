"""Makes the reference: the model's own answers, in torch."""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch

from caan_hf.benchmarks.sample import draw_object

from .preprocessing import Preprocessing
from .reference import KINDS, OUTPUTS, Reference

COUNT = 8
DRAWN = ("tent", "cat", "mug", "fish", "house", "car", "tent", "cat")


def ask_torch(model: torch.nn.Module, preprocessing: Preprocessing) -> Reference:
    """What the model answers, in its own precision and on its own device, about noise, drawn sketches and photos."""
    with _without_tf32():
        return _ask(model, preprocessing)


@contextmanager
def _without_tf32() -> Iterator[None]:
    """Float32 in full: a GPU would else shorten it to ten bits, in convolutions even by default."""
    backends = torch.backends.cuda.matmul, torch.backends.cudnn
    before = [backend.allow_tf32 for backend in backends]
    try:
        for backend in backends:
            backend.allow_tf32 = False
        yield
    finally:
        for backend, allowed in zip(backends, before, strict=True):
            backend.allow_tf32 = allowed


def _ask(model: torch.nn.Module, preprocessing: Preprocessing) -> Reference:
    pictures = _pictures(preprocessing)
    answers = {}
    for branch, kinds in KINDS.items():
        encode = model.get_sketch_features if branch == "sketch_encoder" else model.get_photo_features
        for kind in kinds:
            pixel_values = torch.from_numpy(preprocessing.normalise(pictures[kind])).to(model.device)
            with torch.inference_mode():
                features = encode(pixel_values)
            answers |= {(branch, kind, output): getattr(features, output).float().cpu().numpy() for output in OUTPUTS}
    local = [
        torch.from_numpy(answers[key]).to(model.device)
        for key in (("sketch_encoder", "sketches", "local_embeds"), ("photo_encoder", "photos", "local_embeds"))
    ]
    with torch.inference_mode():
        logits = model.get_relation_logits(*local).float().cpu().numpy()
    return Reference(pictures, answers, logits)


def _pictures(preprocessing: Preprocessing) -> dict[str, np.ndarray]:
    from .preprocessing import images  # noqa: PLC0415

    drawn = {
        modality: [
            draw_object(category, modality, seed=index, index=index, image_size=256)
            for index, category in enumerate(DRAWN)
        ]
        for modality in ("sketch", "photo")
    }
    sketches = [
        preprocessing.fit(images.clean_sketch(picture, preprocessing.sketch_margin)) for picture in drawn["sketch"]
    ]
    photos = [preprocessing.fit(images.clean_photo(picture)) for picture in drawn["photo"]]
    photos = np.stack([np.asarray(picture) for picture in photos])
    noise = np.random.default_rng(0).integers(0, 256, photos.shape, dtype=np.uint8)
    return {"noise": noise, "sketches": np.stack([np.asarray(picture) for picture in sketches]), "photos": photos}

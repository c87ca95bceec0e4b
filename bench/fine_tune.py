"""Measure what the recipe `fine-tune` changes, with categories that the model was not trained on.

    python bench/fine_tune.py MODEL DATA [--towers VIT] [--changes KEY=VALUE ...]
        [--record bench/records/fine_tune.json]

MODEL must not be trained on the validation categories of DATA. Two thirds of these take the place of a user's own
categories: training gets 10 sketches and 20 photos of each, at most half of what there is, and their other images are
ranked. The last third are categories that neither MODEL nor the training further has seen. VIT is the pretrained
encoder of MODEL; with it, training on the same images without MODEL is measured too.
"""

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import datasets
import numpy as np
from common import record_parser, run, write_record
from smoothing import encode, require_unseen, scores

from caan_hf.benchmarks import load_benchmark
from caan_hf.encoding.load import load_encoder
from caan_hf.evaluation.evaluator import column_of, is_modality
from caan_hf.evaluation.setting import Setting, plain
from caan_hf.training import build_trainer, load_recipe

IMAGES = {"sketch": 10, "photo": 20}
RATES = (2e-5, 5e-5, 1e-4)
RATE_OF_PRETRAINED = 2e-4  # as in the recipes that start from VIT


def main() -> None:
    parser = record_parser(__doc__)
    parser.add_argument("model")
    parser.add_argument("data")
    parser.add_argument("--changes", nargs="*", default=[], metavar="KEY=VALUE", help="changes of the recipe")
    parser.add_argument("--towers", metavar="VIT")
    options = parser.parse_args()
    benchmark, info = load_benchmark(options.data)
    setting = plain(benchmark, info, "validation")
    require_unseen(load_encoder(options.model), setting)
    few, galleries = divided(setting)
    rows = [{"start": "model", "rate": None, **measure(options.model, galleries)}]
    print(rows[-1], flush=True)
    starts = [("model", options.model, rate) for rate in RATES]
    if options.towers is not None:
        starts.append(("pretrained", options.towers, RATE_OF_PRETRAINED))
    for name, towers, rate in starts:
        with tempfile.TemporaryDirectory() as folder:
            changes = {"model.vision": towers, "training.tower_learning_rate": rate, "training.output_dir": folder}
            recipe = load_recipe("fine-tune", options.changes, changes)
            trainer = build_trainer(recipe, recipe.training_arguments(), {"train": few})
            trainer.train()
            trainer.save_for_retrieval(Path(folder) / "model")
            found = measure(str(Path(folder) / "model"), galleries)
        rows.append({"start": name, "rate": rate, "steps": trainer.state.global_step, **found})
        print(rows[-1], flush=True)
    write_record(options.record, rows)


def divided(setting: Setting) -> tuple[datasets.Dataset, dict[str, Setting]]:
    """The training images, and the galleries: other images of their categories, and the other categories."""
    generator = np.random.default_rng(0)
    numbers = column_of(setting.rows, "category")
    own, others = np.split(order := generator.permutation(np.unique(numbers)), [len(order) * 2 // 3])
    few = np.sort(np.concatenate(list(_drawn(setting.rows, own, generator))))
    rest = np.setdiff1d(np.flatnonzero(np.isin(numbers, own)), few)
    select = lambda rows: Setting(setting.rows.select(rows), setting.protocol, setting.split)  # noqa: E731
    return setting.rows.select(few), {"own": select(rest), "others": select(np.flatnonzero(np.isin(numbers, others)))}


def _drawn(rows: datasets.Dataset, categories: np.ndarray, generator: np.random.Generator) -> Iterator[np.ndarray]:
    numbers = column_of(rows, "category")
    for modality, count in IMAGES.items():
        for category in categories:
            images = np.flatnonzero((numbers == category) & is_modality(rows, modality))
            yield generator.choice(images, min(count, len(images) // 2), replace=False)


def measure(model: str, galleries: dict[str, Setting]) -> dict[str, Any]:
    encoder = load_encoder(model, dtype="float32")
    return {name: scores(*encode(encoder, setting), 0, None) for name, setting in galleries.items()}


if __name__ == "__main__":
    run(main)

"""Measure whether texts and pretrained image features agree on which categories are similar.

    python bench/text_similarity.py RECIPE [KEY=VALUE]... [--split validation]

Prints Spearman's rank correlation, over all pairs of categories of a split, between two similarities: that of the mean
photo or sketch features of the recipe's untrained towers, and that of the mean descriptions, or of the bare names, in
its text encoder. docs/notes/experiments.md shows the results.
"""

import numpy as np
import torch
from common import options_parser, run
from scipy.stats import spearmanr
from torch import Tensor
from torch.nn import functional as F

from caan_hf.benchmarks import load_benchmark
from caan_hf.evaluation import ZeroShotEvaluator
from caan_hf.training.backbones import build_model
from caan_hf.training.category_sentences import category_sentences
from caan_hf.training.precompute import encode_rows, encode_sentences
from caan_hf.training.recipe import load_recipe


def main() -> None:
    parser = options_parser(__doc__)
    parser.add_argument("recipe")
    parser.add_argument("overrides", nargs="*")
    parser.add_argument("--split", default="validation")
    options = parser.parse_args()
    recipe = load_recipe(options.recipe, options.overrides)
    split = load_benchmark(recipe.data.benchmark_folder())[0][options.split]
    images = ZeroShotEvaluator(split, split=options.split)
    sentences, names = category_sentences(split), split.features["category"].names
    model, processor = build_model(recipe.model, recipe.data, [])
    processor.at_size(recipe.data.target_image_size or model.config.image_size)

    def by_category(rows, modality: str, categories: np.ndarray) -> Tensor:
        """(C, D) mean features, categories ascending."""
        features = encode_rows(model, processor, rows, modality)
        return torch.stack([features[categories == category].mean(0) for category in np.unique(categories)])

    def mean_text(texts: list[str]) -> Tensor:
        """(T,) mean of the normalised mean tokens of each text."""
        tokens = encode_sentences(model, processor, texts)
        return torch.stack([F.normalize(tokens[text].float().mean(0), dim=0) for text in texts]).mean(0)

    of_images = {
        "photos": by_category(images.photos, "photo", images.photo_categories),
        "sketches": by_category(images.sketches, "sketch", images.sketch_categories),
    }
    of_texts = {
        "descriptions": torch.stack([mean_text(list(sentences[category])) for category in sorted(sentences)]),
        "names": torch.stack([mean_text([names[category].replace("_", " ")]) for category in sorted(sentences)]),
    }
    print(f"{len(sentences)} categories of {options.split}")
    for one, features in of_images.items():
        for other, texts in of_texts.items():
            print(f"{one} and {other}: {correlation(features, texts):.2f}")
    print(f"photos and sketches: {correlation(of_images['photos'], of_images['sketches']):.2f}")


def correlation(first: Tensor, second: Tensor) -> float:
    pairs = np.triu_indices(len(first), 1)
    return spearmanr(*(similarity(features)[pairs] for features in (first, second))).statistic


def similarity(features: Tensor) -> np.ndarray:
    """(C, C) cosines after subtracting the mean over categories."""
    centred = F.normalize(features - features.mean(0), dim=-1)
    return (centred @ centred.T).numpy()


if __name__ == "__main__":
    run(main)

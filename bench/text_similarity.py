"""Do descriptions know which categories are alike, as a pretrained photo tower does? docs/results.md quotes it.

    python bench/text_similarity.py RECIPE [KEY=VALUE]... [--split validation]

Rank correlation (Spearman) over all pairs of categories of a split, of how alike they are by the mean photo or sketch
feature of the recipe's untrained towers, and by the mean description, or the bare name, in its text encoder.
"""

import argparse

import numpy as np
import torch
from scipy.stats import spearmanr
from torch import Tensor
from torch.nn import functional as F

from caan_hf.benchmarks import load_benchmark
from caan_hf.encoding.checkpoint import CheckpointEncoder
from caan_hf.encoding.dataset_pictures import DatasetPictures
from caan_hf.evaluation.evaluator import ZeroShotEvaluator
from caan_hf.training.backbones import build_model
from caan_hf.training.precompute import encode_sentences
from caan_hf.training.recipe import load_recipe
from caan_hf.training.triplets import category_sentences


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe")
    parser.add_argument("overrides", nargs="*")
    parser.add_argument("--split", default="validation")
    options = parser.parse_args()
    recipe = load_recipe(options.recipe, options.overrides)
    split = load_benchmark(recipe.data.path)[0][options.split]
    if not len(split):
        parser.error(f"{recipe.data.path} has no {options.split} categories: give data.path= of a benchmark that has")
    sentences, names = category_sentences(split), split.features["category"].names
    model, processor = build_model(recipe.model, recipe.data, [])
    processor.at_size(recipe.data.target_image_size or model.config.image_size)
    encoder = CheckpointEncoder(model, processor)
    images = ZeroShotEvaluator(split)
    photos, sketches = list(DatasetPictures(images.photos)), list(DatasetPictures(images.sketches))
    seen = {
        "photos": by_category(encoder.encode_photos(photos), images.photo_categories),
        "sketches": by_category(encoder.encode_sketches(sketches), images.sketch_categories),
    }
    said = {
        "descriptions": [mean_of(model, processor, list(sentences[category])) for category in sorted(sentences)],
        "names": [mean_of(model, processor, [names[category].replace("_", " ")]) for category in sorted(sentences)],
    }
    print(f"{len(sentences)} categories of {options.split}")
    for one, features in seen.items():
        for other, texts in said.items():
            print(f"{one} and {other}: {correlation(features, torch.stack(texts)):.2f}")
    print(f"photos and sketches: {correlation(seen['photos'], seen['sketches']):.2f}")


def by_category(embeds: np.ndarray, categories: np.ndarray) -> Tensor:
    """(C, D) mean embeddings, categories ascending."""
    return torch.from_numpy(np.stack([embeds[categories == category].mean(0) for category in np.unique(categories)]))


def mean_of(model, processor, sentences: list[str]) -> Tensor:
    """(T,) mean of the sentences' mean tokens, each of length one."""
    tokens = encode_sentences(model, processor, sentences)
    return torch.stack([F.normalize(tokens[sentence].float().mean(0), dim=0) for sentence in sentences]).mean(0)


def correlation(first: Tensor, second: Tensor) -> float:
    pairs = np.triu_indices(len(first), 1)
    return spearmanr(*(similarity(features)[pairs] for features in (first, second))).statistic


def similarity(features: Tensor) -> np.ndarray:
    """(C, C) cosines about the mean: what all categories have in common says nothing of which are alike."""
    centred = F.normalize(features - features.mean(0), dim=-1)
    return (centred @ centred.T).numpy()


if __name__ == "__main__":
    main()

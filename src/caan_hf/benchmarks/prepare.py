"""The flow of `caan prepare`: collect the images, verify them, split them, write them."""

import json
import random
from collections import Counter
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from caan_hf.descriptions.prompts import PLAIN
from caan_hf.descriptions.records import SHIPPED_NAME, CategoryDescriptions
from caan_hf.errors import CaanError
from caan_hf.progress import progress_bar

from .collect import collect, complete_categories
from .described import described
from .drawn import collect_sample
from .items import MODALITIES, Collection, Item, in_row_order
from .layouts import LAYOUTS
from .problems import Problem, Problems, first_paths
from .protocols import PROTOCOLS
from .staging import INFO_FILE, check_out_dir, staged
from .verify import verified

SAMPLE = "sample"
BENCHMARKS = (*LAYOUTS, SAMPLE)
VALIDATION_SHARE = 7  # by default one seen category in so many is held out
MOST_VALIDATION = 15
FEWEST_VALIDATION = 2  # of one category every ranking is perfect; as many must be left to train with


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
            least 2 and at most 15, and none of fewer than 4.
        seed: of the choice of validation categories, and of the drawn sample.
        descriptions: JSONL file of description records; default: those that come with the package. A category of which
            there are none gets the plain template.
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
        collection, sentences = collect_sample(seed, progress=progress, **sample_options)
    else:
        drawings = {"strokes": _path(strokes), "strokes_per_category": strokes_per_category}
        collection, sentences = collect(name, raw_dir, problems, unseen=_path(unseen), **drawings), None
    # All that can be said without opening an image is said before the long part.
    _require_items(collection, problems)
    if descriptions is not None or sentences is None:
        sentences = described(collection.categories, _path(descriptions), problems)
    _choose_validation(collection, validation_categories, seed)
    problems.raise_if_strict(strict)

    collection = _usable(collection, problems, progress)
    problems.raise_if_strict(strict)
    train, validation = _choose_validation(collection, validation_categories, seed)
    splits = _split_items(collection.items, {"train": train, "validation": validation, "test": collection.unseen})
    info = {
        "protocol": PROTOCOLS[name].id,
        "seed": seed,
        "seen": list(train),
        "validation": list(validation),
        "unseen": list(collection.unseen),
        "counts": _counts(splits),
        "descriptions": _descriptions_info(name, descriptions, sentences),
        "images": "embedded" if embed or raw_dir is None else "referenced",
        "skipped": problems.as_records(),
        "created_with": f"caan-hf {version('caan-hf')}",
    }
    _write(out_dir, splits, collection, sentences, info, embed=embed, overwrite=overwrite, progress=progress)
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


def _usable(collection: Collection, problems: Problems, progress: bool) -> Collection:
    """What is left once the images are decoded: those that do, of categories that still have both modalities."""
    usable = []
    items = in_row_order(collection.items)
    with progress_bar("verifying", len(items), shown=progress) as advance:
        for item, reason in verified(items):
            advance()
            if reason is None:
                usable.append(item)
            else:
                problems.add(item.source, reason)
    usable = Collection.of_items(complete_categories(usable, problems), collection.unseen)
    _require_items(usable, problems)
    return usable


def _require_items(collection: Collection, problems: Problems) -> None:
    if collection.items:
        return
    found = "".join(f"; {reason}: {first_paths(paths)}" for reason, paths in problems.by_reason().items())
    raise CaanError(f"nothing to prepare: no category has both usable sketches and usable photos{found}")


def _descriptions_info(name: str, descriptions: str | Path | None, sentences: CategoryDescriptions) -> dict[str, Any]:
    """Where the descriptions come from, and the categories that have to do with the plain template."""
    origin = Path(descriptions).name if descriptions is not None else SAMPLE if name == SAMPLE else SHIPPED_NAME
    plain = [category for category, texts in sentences.items() if texts[0].prompt_id == PLAIN.id]
    return {"origin": origin, "plain": plain}


def _choose_validation(collection: Collection, wanted: int | None, seed: int) -> tuple[tuple[str, ...], ...]:
    """Split the seen categories into those of training and those of validation, both sorted."""
    seen = collection.seen
    if wanted is None:
        share = max(FEWEST_VALIDATION, len(seen) // VALIDATION_SHARE)
        wanted = min(MOST_VALIDATION, share) if len(seen) >= 2 * FEWEST_VALIDATION else 0
    if wanted and wanted >= len(seen):
        raise CaanError(
            f"--validation-categories {wanted} is too many: {len(seen)} seen categories are usable, and training "
            f"needs at least one; give at most {max(0, len(seen) - 1)}"
        )
    validation = set(random.Random(seed).sample(seen, wanted))
    return tuple(name for name in seen if name not in validation), tuple(sorted(validation))


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
    collection: Collection,
    sentences: CategoryDescriptions,
    info: dict[str, Any],
    *,
    embed: bool,
    overwrite: bool,
    progress: bool,
) -> None:
    # Imports datasets, which takes seconds in which an interrupt can go astray: not while a folder is staged.
    from .writing import write_splits  # noqa: PLC0415

    rows = len(collection.items)
    with staged(out_dir, overwrite=overwrite) as folder, progress_bar("writing", rows, shown=progress) as advance:
        write_splits(folder, splits, collection.categories, sentences, embed=embed, advance=advance)
        (folder / INFO_FILE).write_text(json.dumps(info, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")

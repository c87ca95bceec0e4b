"""The steps of `caan prepare`: collect the images, verify them, split them, write them."""

from collections import Counter
from importlib.metadata import version
from pathlib import Path

from caan_hf.descriptions.prompts import PLAIN
from caan_hf.descriptions.records import (
    SHIPPED_NAME,
    CategoryDescriptions,
    join,
    plain,
    read_descriptions,
    shipped_descriptions,
)
from caan_hf.descriptions.spelling import is_text
from caan_hf.errors import CaanError
from caan_hf.utils.files import check_out_dir, printable, staged_folder
from caan_hf.utils.problems import Problems
from caan_hf.utils.progress import progress_bar

from .categories import choose_validation
from .collect import collect, collect_sample, complete_categories
from .items import MODALITIES, Collection, Item, in_row_order
from .layouts import LAYOUTS
from .options import PrepareOptions
from .prepared import INFO_FILE, BenchmarkInfo, DescriptionsInfo, SplitCounts, require_text_path
from .protocols import PROTOCOLS
from .verify import verify

SAMPLE = "sample"
NO_DESCRIPTION = "seen category without a description"
# Options that apply only to some benchmarks.
APPLIES_TO = {
    "unseen": ("folder",),
    **dict.fromkeys(("photos_per_category", "sketches_per_category", "image_size", "categories"), (SAMPLE,)),
    **dict.fromkeys(("strokes", "strokes_per_category"), tuple(LAYOUTS)),
}


def prepare_benchmark(
    name: str, raw_dir: str | Path | None, out_dir: str | Path, options: PrepareOptions | None = None
) -> BenchmarkInfo:
    """Turn a distributed benchmark folder into a `DatasetDict` on disk with splits train, validation and test.

    Every image file is decoded once. Images that cannot be used are skipped and reported.

    Args:
        name: A key of `PROTOCOLS`.
        raw_dir: The distributed folder; None for "sample".
        out_dir: The folder to write. It appears complete or not at all.
        options: Everything else.

    Returns:
        The contents of `benchmark.json`, including what was skipped.

    Raises:
        CaanError: The input or `out_dir` cannot be used, or the benchmark cannot be written.
    """
    options = options or PrepareOptions()
    out_dir, raw_dir = Path(out_dir), None if raw_dir is None else Path(raw_dir)
    _check_arguments(name, raw_dir, out_dir, options)
    require_text_path(out_dir)
    check_out_dir(out_dir, INFO_FILE, overwrite=options.overwrite)
    # Imported here, so that a missing package is reported before images are drawn or decoded. The import takes seconds,
    # so it must not happen while a folder is staged and an interrupt may come.
    from .writing import write_splits  # noqa: PLC0415

    problems = Problems()
    collection = collect_sample(options) if raw_dir is None else collect(name, raw_dir, options, problems)
    # Everything that can be checked without opening an image is checked before the images are decoded.
    _require_items(collection, problems)
    descriptions, origin = _descriptions(name, collection, options.descriptions, problems)
    choose_validation(collection.seen, options.validation_categories, options.seed)
    problems.raise_if_strict(options.strict)

    collection = _usable(collection, problems, options.progress)
    problems.raise_if_strict(options.strict)
    train, validation = choose_validation(collection.seen, options.validation_categories, options.seed)
    names = {"train": set(train), "validation": set(validation), "test": set(collection.unseen)}
    splits = {split: [item for item in collection.items if item.category in names[split]] for split in names}
    plain_categories = [name for name in collection.categories if descriptions[name][0].prompt_id == PLAIN.id]
    info = BenchmarkInfo(
        protocol=PROTOCOLS[name].id,
        seed=options.seed,
        seen=list(train),
        validation=list(validation),
        unseen=list(collection.unseen),
        counts=_counts(splits),
        descriptions=DescriptionsInfo(origin=origin, plain=plain_categories),
        images="embedded" if options.embed or raw_dir is None else "referenced",
        skipped=problems.found,
        created_with=f"caan-hf {version('caan-hf')}",
    )
    rows = sum(map(len, splits.values()))
    with (
        staged_folder(out_dir, INFO_FILE, overwrite=options.overwrite) as folder,
        progress_bar("writing", rows, shown=options.progress) as advance,
    ):
        write_splits(folder, splits, collection.categories, descriptions, embed=options.embed, advance=advance)
        info.write(folder / INFO_FILE)
    return info


def _check_arguments(name: str, raw_dir: Path | None, out_dir: Path, options: PrepareOptions) -> None:
    if name not in PROTOCOLS:
        raise CaanError(f"{name!r}: no such benchmark. Choose from {', '.join(PROTOCOLS)}.")
    for option, benchmarks in APPLIES_TO.items():
        if name not in benchmarks and getattr(options, option) is not None:
            raise CaanError(f"--{option.replace('_', '-')}: does not apply to the benchmark {name}. Leave it out.")
    if name == SAMPLE:
        if raw_dir is not None:
            raise CaanError("sample: takes no RAW_DIR, because it is drawn. Give only OUT_DIR.")
        return
    if raw_dir is None:
        raise CaanError(f"{name}: RAW_DIR is missing. Give the folder of the unpacked benchmark before OUT_DIR.")
    if raw_dir.resolve().is_relative_to(out_dir.resolve()):
        raise CaanError(f"{out_dir}: contains RAW_DIR. Choose an OUT_DIR outside of the raw images.")
    if not options.embed and not is_text(str(raw_dir.absolute())):
        raise CaanError("RAW_DIR: its path is not UTF-8, so it cannot be stored. Leave out --reference, or rename it.")


def _descriptions(
    name: str, collection: Collection, file: Path | None, problems: Problems
) -> tuple[CategoryDescriptions, str]:
    """The descriptions of each category, the plain template if there are none, and their origin."""
    if file is not None:
        records, origin = read_descriptions(file), printable(file.name)
    elif name == SAMPLE:
        from .sample import sample_descriptions  # noqa: PLC0415 - only used here

        records, origin = sample_descriptions(), SAMPLE
    else:
        records, origin = shipped_descriptions(), SHIPPED_NAME
    found = join(collection.categories, records)
    for category in collection.seen:  # training reads no text of unseen categories
        if file is not None and not found[category]:
            problems.add(category, NO_DESCRIPTION)
    return {category: found[category] or (plain(category),) for category in collection.categories}, origin


def _usable(collection: Collection, problems: Problems, progress: bool) -> Collection:
    """The images that can be decoded, of categories that still have both modalities."""
    usable = []
    items = in_row_order(collection.items)
    with progress_bar("verifying", len(items), shown=progress) as advance:
        for item, reason in verify(items):
            advance()
            if reason is None:
                usable.append(item)
            else:
                problems.add(item.source, reason)
    complete = Collection(complete_categories(usable, problems), collection.unseen_names)
    _require_items(complete, problems)
    return complete


def _require_items(collection: Collection, problems: Problems) -> None:
    if not collection.items:
        found = f" ({problems.summary()})" if problems.found else ""
        raise CaanError(f"nothing to prepare: no category has both usable sketches and usable photos{found}.")


def _counts(splits: dict[str, list[Item]]) -> SplitCounts:
    counters = {split: Counter(item.modality for item in items) for split, items in splits.items()}
    return SplitCounts.model_validate({split: {name: c[name] for name in MODALITIES} for split, c in counters.items()})

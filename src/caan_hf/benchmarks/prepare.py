"""The steps of `caan prepare`: collect the images, verify them, split them, write them."""

import os
from collections import Counter
from dataclasses import replace
from pathlib import Path

import caan_hf
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
from caan_hf.utils.problems import Problem, Problems
from caan_hf.utils.progress import progress_bar

from .categories import choose_validation, named_validation
from .collect import SAMPLE, collect_sample, complete_categories
from .duplicates import find_copies
from .items import MODALITIES, Collection, Item, in_row_order
from .layouts import LAYOUTS, DataSet
from .mixing import data_sets, mix
from .options import PrepareOptions
from .prepared import INFO_FILE, BenchmarkInfo, DescriptionsInfo, Origin, SplitCounts, require_text_path
from .protocols import PROTOCOLS
from .strokes import parse_width
from .verify import Verified, verify

MIN_IMAGES = 10  # an added category with fewer sketches or photos is not chosen for validation
NO_DESCRIPTION = "seen category without a description"
# Options that apply only to some benchmarks.
APPLIES_TO = {
    "unseen": ("folder",),
    **dict.fromkeys(("image_size", "categories"), (SAMPLE,)),
    **dict.fromkeys(("strokes", "strokes_per_category", "add"), tuple(LAYOUTS)),
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
    _check_arguments(name, raw_dir, options)
    added = data_sets(name, options.add or ())
    _check_places(raw_dir, added, out_dir, options)
    require_text_path(out_dir)
    check_out_dir(out_dir, INFO_FILE, overwrite=options.overwrite)
    # Imported here, so that a missing package is reported before images are drawn or decoded. The import takes seconds,
    # so it must not happen while a folder is staged and an interrupt may come.
    from .writing import write_splits  # noqa: PLC0415

    problems = Problems()
    if raw_dir is None:
        collection = collect_sample(options)
    else:
        collection = mix(DataSet(name, name, raw_dir), added, options, problems)
    # Everything that can be checked without opening an image is checked before the images are decoded.
    collection = complete_categories(collection, problems, keep_unpaired=options.unpaired)
    descriptions, origin = _descriptions(name, collection, options.descriptions, problems)
    _split_seen(collection, options)
    problems.raise_if_strict(options.strict)

    verified = _usable(collection, problems, options.progress)
    kept, copies = _without_copies(verified, collection, options.progress)
    collection = complete_categories(replace(collection, items=kept), problems, keep_unpaired=options.unpaired)
    problems.raise_if_strict(options.strict)
    train, validation = _split_seen(collection, options)
    names = {"train": set(train), "validation": set(validation), "test": set(collection.unseen)}
    rows = in_row_order(collection.items)
    splits = {split: [item for item in rows if item.category in names[split]] for split in names}
    plain_categories = [name for name in collection.categories if descriptions[name][0].prompt_id == PLAIN.id]
    info = BenchmarkInfo(
        protocol=PROTOCOLS[name].id,
        seed=options.seed,
        seen=list(train),
        validation=list(validation),
        unseen=list(collection.unseen),
        counts=_counts(splits),
        descriptions=DescriptionsInfo(origin=origin, plain=plain_categories),
        origins=_origins(splits, copies, collection.origins),
        added=list(collection.names[1:]),
        only_sketches=list(collection.seen_with("sketch")),
        only_photos=list(collection.seen_with("photo")),
        renamed=collection.renamed,
        held_out=list(collection.held_out),
        duplicates=[Problem(item.source, reason) for item, reason in copies],
        images="embedded" if options.embed or raw_dir is None else "referenced",
        skipped=problems.found,
        created_with=f"caan-hf {caan_hf.__version__}",
    )
    with (
        staged_folder(out_dir, INFO_FILE, overwrite=options.overwrite) as folder,
        progress_bar("writing", len(rows), shown=options.progress) as advance,
    ):
        labels = collection.categories, collection.origins
        write_splits(folder, splits, *labels, descriptions, embed=options.embed, advance=advance)
        info.write(folder / INFO_FILE)
    return info


def _check_arguments(name: str, raw_dir: Path | None, options: PrepareOptions) -> None:
    if name not in PROTOCOLS:
        raise CaanError(f"{name!r}: no such benchmark. Choose from {', '.join(PROTOCOLS)}.")
    for option, benchmarks in APPLIES_TO.items():
        if name not in benchmarks and getattr(options, option) is not None:
            raise CaanError(f"--{option.replace('_', '-')}: does not apply to the benchmark {name}. Leave it out.")
    parse_width(options.stroke_width)
    if options.validation is not None and options.validation_categories is not None:
        raise CaanError("--validation and --validation-categories are mutually exclusive. Leave one out.")
    if name == SAMPLE and raw_dir is not None:
        raise CaanError("sample: takes no RAW_DIR, because it is drawn. Give only OUT_DIR.")
    if name != SAMPLE and raw_dir is None:
        raise CaanError(f"{name}: RAW_DIR is missing. Give the folder of the unpacked benchmark before OUT_DIR.")


def _check_places(raw_dir: Path | None, added: list[DataSet], out_dir: Path, options: PrepareOptions) -> None:
    """Refuse input in OUT_DIR, which --overwrite would delete, and paths of images that cannot be stored."""
    images = {"RAW_DIR": raw_dir, **{f"--add {one.name}": one.folder for one in added}}
    files = {f"--{name}": getattr(options, name) for name in ("strokes", "descriptions", "unseen", "validation")}
    for what, place in {**images, **files}.items():
        if place is not None and Path(os.path.realpath(place)).is_relative_to(os.path.realpath(out_dir)):
            raise CaanError(f"{out_dir}: contains {what}. Choose an OUT_DIR that holds no input.")
    for what, folder in images.items():
        if folder is not None and not options.embed and not is_text(str(folder.absolute())):
            raise CaanError(
                f"{what}: its path is not UTF-8, so it cannot be stored. Leave out --reference, or rename it."
            )


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


def _split_seen(collection: Collection, options: PrepareOptions) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The seen categories of train and of validation. Those of validation have sketches and photos."""
    paired = collection.seen_with(*MODALITIES)
    own = {item.category for item in collection.items if collection.is_own(item)}
    counts = Counter((item.category, item.modality) for item in collection.items)
    added = {name for name in paired if name not in own}
    few = {name for name in added if min(counts[name, modality] for modality in MODALITIES) < MIN_IMAGES}
    if options.validation is not None:
        validation = named_validation(paired, options.validation)
    else:
        candidates = tuple(name for name in paired if name not in few)
        validation = choose_validation(candidates, options.validation_categories, options.seed, added)
    return tuple(name for name in collection.seen if name not in validation), validation


def _usable(collection: Collection, problems: Problems, progress: bool) -> list[Verified]:
    """The images that can be decoded, with fingerprints if data sets were added."""
    usable = []
    is_mixed = len(collection.names) > 1
    with progress_bar("verifying", len(collection.items), shown=progress) as advance:
        for one in verify(collection.items, fingerprints=is_mixed):
            advance()
            if one.reason is None:
                usable.append(one)
            else:
                problems.add(one.item.source, one.reason)
    return usable


def _without_copies(
    verified: list[Verified], collection: Collection, progress: bool
) -> tuple[list[Item], list[tuple[Item, str]]]:
    """The images without those of added data sets that repeat an earlier one, and these with the reason."""
    items = [one.item for one in verified]
    prints = [one.fingerprint for one in verified if one.fingerprint is not None]
    if not prints:
        return items, []
    first_added = sum(collection.is_own(item) for item in items)
    with progress_bar("comparing photos", None, shown=progress) as advance:
        copies = find_copies(prints, first_added, advance)
    reasons = [
        (items[number], f"{'equals' if is_equal else 'resembles'} {items[earlier].source}")
        for number, (earlier, is_equal) in sorted(copies.items())
    ]
    return [item for number, item in enumerate(items) if number not in copies], reasons


def _origins(splits: dict[str, list[Item]], copies: list[tuple[Item, str]], names: tuple[str, ...]) -> list[Origin]:
    """The numbers of images and of duplicates by data set and modality."""
    rows = [item for split in splits.values() for item in split]
    images, training = (Counter((item.origin, item.modality) for item in some) for some in (rows, splits["train"]))
    categories = Counter(
        (origin, modality) for origin, modality, _ in {(r.origin, r.modality, r.category) for r in rows}
    )
    duplicates = Counter((item.origin, item.modality) for item, _ in copies)
    return [
        Origin(
            name=name,
            modality=modality,
            categories=categories[name, modality],
            images=images[name, modality],
            training=training[name, modality],
            duplicates=duplicates[name, modality],
        )
        for name in names
        for modality in MODALITIES
        if images[name, modality] or duplicates[name, modality]
    ]


def _counts(splits: dict[str, list[Item]]) -> SplitCounts:
    counters = {split: Counter(item.modality for item in items) for split, items in splits.items()}
    return SplitCounts.model_validate({split: {name: c[name] for name in MODALITIES} for split, c in counters.items()})

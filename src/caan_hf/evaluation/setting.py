"""Which sketches and photos of a benchmark are evaluated, and how results on them are cited."""

import random
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from caan_hf.benchmarks import BenchmarkInfo, load_benchmark
from caan_hf.benchmarks.categories import concept, read_category_file
from caan_hf.benchmarks.pairs import is_extended, require_pairs
from caan_hf.benchmarks.prepared import own_rows
from caan_hf.benchmarks.protocols import PROTOCOLS, protocol_named
from caan_hf.descriptions.spelling import fold
from caan_hf.encoding.encoder import TrainingData
from caan_hf.errors import CaanError

from .evaluator import column_of, is_modality, select_modality

if TYPE_CHECKING:
    import datasets

SEEN_SHARE = 0.2
SEEN_SEED = 0
UNNAMED = "unnamed"
"""Protocol of a dataset that was not prepared by `caan prepare`."""


@dataclass(frozen=True)
class Setting:
    """Rows of an evaluation, and how results on them are cited.

    Attributes:
        rows: Sketches, which are the queries, and photos, which are the gallery.
        protocol: Protocol id. If it deviates from the published protocol, it has a suffix, as in
            `sketchy-25@1/generalized`.
        split: Split of the sketches.
        removed: Category that was left out because training saw it, to its name in the training data.
        notes: Caveats that a reader of the result must know, as sentences.
    """

    rows: "datasets.Dataset"
    protocol: str
    split: str
    removed: dict[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def noted(self, note: str) -> "Setting":
        """The same setting with one more note."""
        return replace(self, notes=(*self.notes, note))


def plain(benchmark: "datasets.DatasetDict", info: BenchmarkInfo | None, split: str) -> Setting:
    """All sketches of a split against all its photos.

    Args:
        benchmark: The splits.
        info: Contents of `benchmark.json`; None for a dataset that was not prepared by `caan prepare`.
        split: The split.

    Raises:
        CaanError: There is no such split, or this version does not know the benchmark's protocol.
    """
    if split not in benchmark:
        raise CaanError(f"--split {split}: no such split. The benchmark has {', '.join(benchmark)}.")
    if info is None:
        return Setting(benchmark[split], UNNAMED, split)
    protocol = protocol_named(info.protocol)
    name = f"{split} split of {info.training_protocol}" if info.added else f"{split} split"
    notes = protocol.deviations(info) if split == "test" else [f"the {name}, not the protocol's unseen categories"]
    return Setting(benchmark[split], protocol.id, split, notes=tuple(notes))


def generalized(setting: Setting, benchmark: "datasets.DatasetDict") -> Setting:
    """Add seen photos to the gallery: a fifth of each category of train and validation, drawn with seed 0.

    The queries stay those of the unseen categories. The share is that of the literature (SEM-PCYC). The seed is fixed,
    so that results can be compared.

    Raises:
        CaanError: The setting is not the test split, is a cross-dataset setting, or there are no seen photos.
    """
    if setting.split != "test":
        raise CaanError("--generalized adds seen photos to unseen ones. Use it with --split test.")
    rows, count = _with_photos(setting, benchmark, ("train", "validation"), _share_of_photos, "--generalized")
    note = (
        f"generalised: {count:,} seen photos in the gallery, {SEEN_SHARE:.0%} of each seen category; "
        "the model may have been trained on them"
    )
    return replace(setting, rows=rows, protocol=f"{setting.protocol}/generalized").noted(note)


def mixed(setting: Setting, benchmark: "datasets.DatasetDict") -> Setting:
    """Add all photos of the seen categories to the gallery, as in a user's folder.

    These are the photos of the train split, and for the test split those of the validation split too. The queries stay
    those of the split.

    Raises:
        CaanError: The setting is the train split or a cross-dataset setting, or there are no seen photos.
    """
    if setting.split == "train":
        raise CaanError("--mixed adds seen photos to unseen ones. Use it with --split test or --split validation.")
    splits = ("train", "validation") if setting.split == "test" else ("train",)
    rows, count = _with_photos(setting, benchmark, splits, lambda rows: select_modality(rows, "photo"), "--mixed")
    note = f"mixed: all {count:,} seen photos in the gallery; the model may have been trained on them"
    return replace(setting, rows=rows, protocol=f"{setting.protocol}/mixed").noted(note)


def fine_grained(setting: Setting) -> Setting:
    """The same split for fine-grained retrieval, without the additional photos that no sketch was drawn from.

    Raises:
        CaanError: The sketches of the benchmark were not drawn from its photos.
    """
    require_pairs(setting.protocol)
    extended = [is_extended(setting.protocol, source) for source in setting.rows["source"]]
    name = re.sub(r"^[^@/]+", r"\g<0>-fine", setting.protocol)
    if not any(extended):
        return replace(setting, protocol=name)
    rows = setting.rows.select(np.flatnonzero(~np.array(extended)))
    note = f"{sum(extended):,} extended photos, from which no sketch was drawn, are not in the gallery"
    return replace(setting, rows=rows, protocol=name).noted(note)


def without_seen(setting: Setting, trained_on: str | None, recorded: TrainingData | None) -> Setting:
    """Leave out the categories that training on another benchmark saw, in any spelling.

    Categories that training on the same benchmark, or on data without a name, saw are only noted.

    Args:
        setting: The setting.
        trained_on: Value of `--trained-on`; it replaces what the model records.
        recorded: Training data that the model records.

    Raises:
        CaanError: `trained_on` is invalid, or no category is left.
    """
    training = recorded if trained_on is None else training_data(trained_on)
    if training is None:
        return setting
    names = setting.rows.features["category"].names
    numbers = column_of(setting.rows, "category")
    present = [names[number] for number in np.unique(numbers)]
    seen = (*training.categories, *training.validation)
    if training.protocol.partition("@")[0] in (UNNAMED, setting.protocol.partition("@")[0]):
        # Validation categories may be evaluated on the split that is made of them.
        counted = seen if trained_on or setting.split == "test" else training.categories
        added = training.protocol.partition("+")[2]
        exact = {fold(name): name for name in counted}
        # A published split may have synonyms on both sides, so they count only where other data was added.
        alike = {concept(name): name for name in counted} if added else {}
        queried = [names[number] for number in np.unique(numbers[is_modality(setting.rows, "sketch")])]
        found = {name: exact.get(fold(name)) or alike.get(concept(name)) for name in queried}
        leaked = [_also_named(name, known) for name, known in found.items() if known]
        if added:
            setting = setting.noted(
                f"trained on {training.protocol}: with data that the training split of the benchmark lacks ({added})"
            )
        return setting.noted(f"not zero-shot: training saw {', '.join(leaked)}") if leaked else setting
    known = {concept(name): name for name in seen}
    removed = {name: known[concept(name)] for name in present if concept(name) in known}
    if len(removed) == len(present):
        raise CaanError(
            f"{training.protocol}: training saw every category of the {setting.split} split, so no category is left "
            "to evaluate zero-shot. Choose another --split or other --data."
        )
    return replace(
        setting,
        rows=setting.rows.select(np.flatnonzero([names[number] not in removed for number in numbers])),
        protocol=f"{setting.protocol}/from-{training.protocol}",
        removed=removed,
    ).noted(f"cross-dataset: trained on {training.protocol}, categories left out: {len(removed)}")


def _also_named(name: str, known: str) -> str:
    return name if fold(name) == fold(known) else f"{name} (as {known})"


def training_data(name: str) -> TrainingData:
    """Training data named by `--trained-on`.

    Args:
        name: Folder of a prepared benchmark, a protocol, or a file of categories, one per line.

    Raises:
        CaanError: It is none of these.
    """
    path = Path(name)
    if path.is_dir():
        info = load_benchmark(path)[1]
        return TrainingData(info.training_protocol, tuple(info.seen), tuple(info.validation))
    if path.is_file():
        return TrainingData(path.stem, tuple(read_category_file(path)), ())
    protocol = protocol_named(name) if name.partition("@")[0] in PROTOCOLS else None
    if protocol is None:
        known = ", ".join(protocol.name for protocol in PROTOCOLS.values() if protocol.has_lists)
        raise CaanError(
            f"--trained-on {name}: not found. Give the folder of a prepared benchmark, a file of categories, or a "
            f"protocol ({known})."
        )
    if not protocol.has_lists:
        raise CaanError(
            f"--trained-on {name}: this protocol has no fixed categories. Give the folder of the prepared benchmark."
        )
    return TrainingData(protocol.id, protocol.seen, ())


def _with_photos(
    setting: Setting,
    benchmark: "datasets.DatasetDict",
    splits: Sequence[str],
    photos_of: Callable[["datasets.Dataset"], "datasets.Dataset"],
    option: str,
) -> tuple["datasets.Dataset", int]:
    """The rows of a setting with photos of other splits, and the number of these photos.

    Raises:
        CaanError: It is a cross-dataset setting, or there are no such photos.
    """
    from datasets import concatenate_datasets  # noqa: PLC0415 - heavy

    if setting.removed or "/from-" in setting.protocol:
        raise CaanError(f"{option} cannot be combined with a cross-dataset evaluation (--trained-on).")
    parts = [photos for split in splits if split in benchmark if len(photos := photos_of(benchmark[split]))]
    if not parts:
        raise CaanError(f"{option} needs seen photos, but there are none in {' and '.join(splits)}.")
    return concatenate_datasets([setting.rows, *parts]), sum(map(len, parts))


def _share_of_photos(rows: "datasets.Dataset") -> "datasets.Dataset":
    """A share of the benchmark's own photos per category; at least one per category."""
    is_photo = is_modality(rows, "photo") & own_rows(rows)  # so that added data sets do not change the gallery
    categories, names = column_of(rows, "category"), rows.features["category"].names
    drawn: list[int] = []
    for category in np.unique(categories[is_photo]):
        photos = np.flatnonzero(is_photo & (categories == category)).tolist()
        count = max(1, round(SEEN_SHARE * len(photos)))
        drawn += random.Random(f"{SEEN_SEED} {names[category]}").sample(photos, count)
    return rows.select(sorted(drawn))

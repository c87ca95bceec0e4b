"""What is ranked for what: a split as it stands, with seen photos mixed in, or without what training saw elsewhere."""

import random
from dataclasses import dataclass, replace
from pathlib import Path

import datasets
import numpy as np

from caan_hf.benchmarks import BenchmarkInfo, load_benchmark
from caan_hf.benchmarks.categories import concept, read_category_file
from caan_hf.benchmarks.protocols import PROTOCOLS, protocol_named
from caan_hf.errors import CaanError

SEEN_SHARE = 0.2
SEEN_SEED = 0


@dataclass(frozen=True)
class Setting:
    """The rows of an evaluation, and how to cite it.

    Attributes:
        rows: sketches, which are all queries, and photos, which are all in the gallery.
        protocol: its id; what is not the published protocol has a suffix, such as `sketchy-25@1/generalized`.
        split: the split that the sketches are from.
        removed: category left out -> the name under which training saw it.
        notes: what a reader of the result must know, in sentences.
    """

    rows: datasets.Dataset
    protocol: str
    split: str
    removed: dict[str, str]
    notes: tuple[str, ...] = ()

    def categories(self) -> list[str]:
        """Names of the categories of the queries."""
        columns = self.rows.select_columns(["modality", "category"]).with_format("numpy")[:]
        is_sketch = columns["modality"] == self.rows.features["modality"].str2int("sketch")
        return [
            self.rows.features["category"].int2str(int(label)) for label in np.unique(columns["category"][is_sketch])
        ]

    def noted(self, note: str) -> "Setting":
        """The same with one more note."""
        return replace(self, notes=(*self.notes, note))


def plain(benchmark: datasets.DatasetDict, info: BenchmarkInfo, split: str) -> Setting:
    """All sketches of a split against all its photos.

    Raises:
        CaanError: there is no such split, or the benchmark was prepared under a protocol that this version lacks.
    """
    if split not in benchmark:
        raise CaanError(f"no split '{split}'; there are {', '.join(benchmark)}")
    protocol = protocol_named(info.protocol)
    notes = (
        protocol.deviations(info) if split == "test" else [f"the {split} split, not the protocol's unseen categories"]
    )
    return Setting(benchmark[split], protocol.id, split, {}, tuple(notes))


def generalized(setting: Setting, benchmark: datasets.DatasetDict) -> Setting:
    """Mix seen photos into the gallery: a fifth of each category's in train and validation, drawn with seed 0.

    The queries stay those of the unseen categories. The share is that of the literature (SEM-PCYC); which photos are
    drawn is our choice, fixed so that results can be compared.

    Raises:
        CaanError: the setting is not that of the test split or a cross-dataset one, or there are no seen photos.
    """
    if setting.removed or "/from-" in setting.protocol:
        raise CaanError(
            "the generalised setting adds the benchmark's own seen photos: it is not for cross-dataset results"
        )
    if setting.split != "test":
        raise CaanError(
            f"the generalised setting adds seen photos to unseen ones: it is for --split test, not {setting.split}"
        )
    parts = [benchmark[split].select(_share_of_photos(benchmark[split])) for split in ("train", "validation")]
    photos = datasets.concatenate_datasets([part for part in parts if len(part)]) if any(map(len, parts)) else None
    if photos is None:
        raise CaanError("the generalised setting needs seen photos, and neither train nor validation has any")
    note = (
        f"generalised: {len(photos):,} seen photos in the gallery, {SEEN_SHARE:.0%} of each seen category; "
        "the model may have been trained on them"
    )
    rows = datasets.concatenate_datasets([setting.rows, photos])
    return replace(setting, rows=rows, protocol=f"{setting.protocol}/generalized").noted(note)


def unseen_by(setting: Setting, trained_on: str, seen: tuple[str, ...]) -> Setting:
    """Leave out the categories that a model was trained on elsewhere, whatever their spelling there.

    Args:
        setting: what to leave them out of.
        trained_on: what to call the training data, such as `sketchy-25@1`.
        seen: the categories of training.

    Raises:
        CaanError: nothing is left.
    """
    names = setting.rows.features["category"].names
    numbers = setting.rows.select_columns(["category"]).with_format("numpy")[:]["category"]
    known = {concept(name): name for name in seen}
    present = [names[number] for number in np.unique(numbers)]
    removed = {name: known[concept(name)] for name in present if concept(name) in known}
    if len(removed) == len(present):
        raise CaanError(f"{trained_on}: training saw every category of the {setting.split} split; nothing is zero-shot")
    kept = [names[number] not in removed for number in numbers]
    return replace(
        setting,
        rows=setting.rows.select(np.flatnonzero(kept)),
        protocol=f"{setting.protocol}/from-{trained_on}",
        removed=removed,
    ).noted(f"cross-dataset: trained on {trained_on}, {len(removed)} categories left out")


def training_categories(name: str) -> tuple[str, tuple[str, ...]]:
    """What `--trained-on` names: a prepared benchmark's folder, a protocol, or a file of categories, one a line.

    Returns:
        What to call it, and the categories that training or validation with it sees.

    Raises:
        CaanError: it is none of them.
    """
    path = Path(name)
    if path.is_dir():
        info = load_benchmark(path)[1]
        return info.protocol, (*info.seen, *info.validation)
    if path.is_file():
        return path.stem, read_category_file(path)
    if name.partition("@")[0] not in PROTOCOLS:
        known = ", ".join(protocol.name for protocol in PROTOCOLS.values() if protocol.has_lists)
        raise CaanError(f"--trained-on {name}: no prepared benchmark, no file of categories, and no protocol ({known})")
    protocol = protocol_named(name)
    if not protocol.has_lists:
        raise CaanError(f"--trained-on {name}: its categories are not fixed; give the prepared benchmark's folder")
    return protocol.id, protocol.seen


def _share_of_photos(rows: datasets.Dataset) -> list[int]:
    """Positions of a share of the photos of each category, ascending; at least one of each."""
    columns = rows.select_columns(["modality", "category"]).with_format("numpy")[:]
    is_photo = columns["modality"] == rows.features["modality"].str2int("photo")
    drawn: list[int] = []
    for category in np.unique(columns["category"]):
        photos = np.flatnonzero(is_photo & (columns["category"] == category)).tolist()
        if photos:
            name = rows.features["category"].int2str(int(category))
            drawn += random.Random(f"{SEEN_SEED} {name}").sample(photos, max(1, round(SEEN_SHARE * len(photos))))
    return sorted(drawn)

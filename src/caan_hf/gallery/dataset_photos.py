"""A dataset as a source of photos."""

from pathlib import Path
from typing import Any

import datasets
import pyarrow as pa

from caan_hf.errors import CaanError, first_line
from caan_hf.utils.files import read_bytes
from caan_hf.utils.hub import limit_waiting
from caan_hf.utils.problems import Problems

from .sources import LISTING, PhotoSource, matches


class DatasetPhotos(PhotoSource):
    """The images of a `datasets` dataset. Of a benchmark with sketches and photos, only the photos are used."""

    keeps_bytes = True

    def __init__(self, dataset: datasets.Dataset, name: str):
        columns = [column for column, feature in dataset.features.items() if isinstance(feature, datasets.Image)]
        if not columns:
            raise CaanError(f"{name}: no column holds images, only {', '.join(dataset.column_names)}.")
        self.name = name
        self.column = columns[0]
        dataset = _only_photos(dataset)
        self.version = int(dataset._fingerprint[:15], 16)
        self.rows = dataset.select_columns(self.column).cast_column(self.column, datasets.Image(decode=False))

    @classmethod
    def of(cls, given: Any, split: str | None) -> "DatasetPhotos":
        """The photos of a `Dataset`, or of a split of a `DatasetDict`.

        Raises:
            CaanError: It is not one of these, is streamed, or has no such split.
        """
        if isinstance(given, datasets.DatasetDict) and given:
            given = _select_split(given, "the given dataset", split)
        if isinstance(given, (datasets.IterableDataset, datasets.IterableDatasetDict)):
            raise CaanError("the given dataset: is streamed, so it has no rows to refer to. Load it without streaming.")
        if not isinstance(given, datasets.Dataset):
            raise CaanError(f"a {type(given).__name__}: not a dataset. Give a Dataset, a DatasetDict or its folder.")
        return cls(given, f"dataset-{given._fingerprint}")

    @classmethod
    def load(cls, name: str, split: str | None) -> "DatasetPhotos":
        """Open a dataset: a folder written by `save_to_disk` or `caan prepare`, or a dataset on the Hub."""
        is_folder = Path(name).is_dir()
        limit_waiting()
        try:
            found = datasets.load_from_disk(name) if is_folder else datasets.load_dataset(name)
        except Exception as error:
            if is_folder:
                raise CaanError(f"{name}: cannot be opened as a dataset ({first_line(error)}).") from error
            raise CaanError(
                f"{name}: no such folder, and no such dataset could be opened on the Hub ({first_line(error)})."
            ) from error
        if isinstance(found, datasets.DatasetDict):
            found = _select_split(found, name, split)
        return cls(found, f"{Path(name).resolve() if is_folder else name}#{found.split or ''}")

    def scan(self, problems: Problems) -> pa.Table:
        """List the rows. `mtime_ns` is the dataset's fingerprint, which changes when the dataset does."""
        count = len(self.rows)
        paths = [f"{self.name}/{row}" for row in range(count)]
        return pa.table([paths, [0] * count, [self.version] * count], schema=LISTING)

    def read(self, path: str) -> bytes:
        """See [`PhotoSource`]."""
        image = self.rows[int(path.rpartition("/")[2])][self.column]
        if image is None:
            raise ValueError("the row has no image")
        content: bytes | None = image["bytes"]
        return content if content is not None else read_bytes(image["path"])

    def covers(self, paths: pa.ChunkedArray) -> pa.ChunkedArray:
        """Rows of the same dataset and split."""
        return matches(paths, f"{self.name}/", "^[0-9]+$")


def _select_split(found: datasets.DatasetDict, name: str, split: str | None) -> datasets.Dataset:
    names = list(found)
    if split is None and len(names) > 1:
        raise CaanError(f"{name}: the dataset has several splits. Choose one of {', '.join(names)} with --split.")
    if split is not None and split not in names:
        raise CaanError(f"{name}: there is no split '{split}'. Choose one of {', '.join(names)} with --split.")
    return found[split or names[0]]


def _only_photos(dataset: datasets.Dataset) -> datasets.Dataset:
    names = getattr(dataset.features.get("modality"), "names", None) or []
    if "photo" not in names:
        return dataset
    modality = dataset.select_columns("modality").with_format("numpy")[:]["modality"]
    return dataset.select((modality == names.index("photo")).nonzero()[0])

"""A prepared benchmark on disk: the contents of `benchmark.json`, and how to open it."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import ConfigDict, Field

from caan_hf.descriptions.spelling import is_text
from caan_hf.errors import CaanError
from caan_hf.utils.files import is_file, printable
from caan_hf.utils.problems import Problem
from caan_hf.utils.records import Record

if TYPE_CHECKING:
    import numpy as np
    from datasets import Dataset, DatasetDict

from .items import MODALITIES, STROKES

INFO_FILE = "benchmark.json"
REMEDY = "The benchmark is damaged; prepare it again with `caan prepare --overwrite`."


class Counts(Record):
    """Numbers of sketches and photos."""

    sketch: int
    photo: int


class SplitCounts(Record):
    """Numbers of images per split."""

    train: Counts
    validation: Counts
    test: Counts


class Origin(Record):
    """Where images of one modality come from.

    Attributes:
        name: Name of the data set, with the ending "/strokes" for stroke drawings beside its images.
        modality: "sketch" or "photo".
        categories: Number of categories with such images.
        images: Number of images.
        training: Number of those in the train split.
        duplicates: Number of images that were left out because an earlier data set or file has them too.
    """

    name: str
    modality: str
    categories: int
    images: int
    training: int
    duplicates: int = 0


ORIGIN_COLUMNS = ("data set", "modality", "categories", "images", "for training", "duplicates left out")


def origin_rows(origins: Sequence[Origin]) -> list[tuple[str, ...]]:
    """The rows of a table with the columns `ORIGIN_COLUMNS`."""
    return [
        (one.name, one.modality, *(f"{n:,}" for n in (one.categories, one.images, one.training, one.duplicates)))
        for one in origins
    ]


class DescriptionsInfo(Record):
    """Where the descriptions of a benchmark come from.

    Attributes:
        origin: "caan-hf" for the descriptions that come with the package, "sample" for those of the sample benchmark,
            otherwise the name of the description file.
        plain: Categories without a description, which have the plain template.
    """

    origin: str
    plain: list[str] = Field(default_factory=list)


class BenchmarkInfo(Record):
    """The contents of `benchmark.json`.

    Attributes:
        protocol: Name and version of the protocol, such as "sketchy-25@1".
        seed: Seed of the choice of validation categories and of the sample's drawings.
        seen: Categories of the train split, sorted.
        validation: Seen categories of the validation split, sorted.
        unseen: Categories of the test split, sorted.
        counts: Numbers of images per split.
        descriptions: Where the descriptions come from.
        origins: Where the images come from: the benchmark itself, then the data sets that were added to its training
            categories. The column `origin` of the data has these names.
        added: Names of the data sets that were added.
        only_sketches: Categories of the train split without photos, sorted.
        only_photos: Categories of the train split without sketches, sorted.
        renamed: Maps a category of an added data set, as `NAME/CATEGORY`, to the name of the same category here.
        held_out: Categories of added data sets, as `NAME/CATEGORY`, that are unseen here and therefore left out.
        duplicates: Images of added data sets that were left out, and which image they repeat.
        images: "embedded" if the data hold the images, "referenced" if they hold the paths of the image files.
        skipped: What was skipped, and why.
        created_with: Version of this package.
    """

    model_config = ConfigDict(extra="ignore")

    protocol: str
    seed: int = 0
    seen: list[str]
    validation: list[str]
    unseen: list[str]
    counts: SplitCounts
    descriptions: DescriptionsInfo
    origins: list[Origin] = Field(default_factory=list)
    added: list[str] = Field(default_factory=list)
    only_sketches: list[str] = Field(default_factory=list)
    only_photos: list[str] = Field(default_factory=list)
    renamed: dict[str, str] = Field(default_factory=dict)
    held_out: list[str] = Field(default_factory=list)
    duplicates: list[Problem] = Field(default_factory=list)
    images: Literal["embedded", "referenced"] = "embedded"
    skipped: list[Problem] = Field(default_factory=list)
    created_with: str = ""

    @property
    def training_protocol(self) -> str:
        """What a model is trained on: the protocol, and the data sets that were added, as in `sketchy-25@1+pool`."""
        return "+".join((self.protocol, *self.added))


def require_text_path(path: Path) -> None:
    """Refuse a folder that `datasets` cannot open.

    Raises:
        CaanError: Its path is not UTF-8.
    """
    if not is_text(str(path.absolute())):
        raise CaanError(f"{printable(path)}: its path is not UTF-8, so the benchmark cannot be opened. Rename it.")


def require_splits(data: object, *names: str) -> None:
    """Check that data are splits by name, and that they have these.

    Raises:
        CaanError: They are not, or they lack one.
    """
    if not isinstance(data, Mapping):
        raise CaanError(f"the data: must be a DatasetDict or a dict of splits, got {type(data).__name__}.")
    for name in names:
        if name not in data:
            raise CaanError(f"the data: no split {name}. They have {', '.join(map(str, data)) or 'none'}.")


def checked_split(split: "Dataset") -> "Dataset":
    """A split with the columns that training and evaluation read; those that it may lack are added.

    Args:
        split: Rows with `image` (an `Image`), `modality` (a `ClassLabel` of "sketch" and "photo") and `category` (a
            `ClassLabel`). Without `source`, the images are named by their row.

    Raises:
        CaanError: A column is missing or of another type.
    """
    from datasets import ClassLabel, Image  # noqa: PLC0415 - not needed to report a wrong folder

    for name, kind in (("image", Image), ("modality", ClassLabel), ("category", ClassLabel)):
        if not isinstance(split.features.get(name), kind):
            raise CaanError(f"column {name} of the data: must be a datasets.{kind.__name__}. See docs/python.md.")
    if set(split.features["modality"].names) != set(MODALITIES):
        raise CaanError(f"column modality of the data: must have the names {', '.join(MODALITIES)}.")
    if "source" in split.column_names:
        return split
    return split.add_column("source", [f"row {row}" for row in range(len(split))])


def own_rows(split: "Dataset") -> "np.ndarray":
    """Which rows (N,) of a split are images of the benchmark itself, and not of a data set that was added to it."""
    import numpy as np  # noqa: PLC0415 - not needed to report a wrong folder

    if "origin" not in split.column_names:  # prepared by an earlier version
        return np.ones(len(split), dtype=bool)
    names = split.features["origin"].names
    own = names[0].removesuffix(STROKES)
    return np.isin(
        np.asarray(split.with_format("numpy")["origin"][:]),
        [number for number, name in enumerate(names) if name.removesuffix(STROKES) == own],
    )


def read_info(path: str | Path) -> BenchmarkInfo:
    """The contents of `benchmark.json` of what `caan prepare` wrote.

    Raises:
        CaanError: `path` is not a prepared benchmark, or it is damaged.
    """
    path = Path(path)
    if not (is_file(path / INFO_FILE) and is_file(path / "dataset_dict.json")):
        raise CaanError(f"{path}: not a prepared benchmark. Prepare one with `caan prepare`.")
    require_text_path(path)
    return BenchmarkInfo.read(path / INFO_FILE, REMEDY)


def load_benchmark(path: str | Path) -> "tuple[DatasetDict, BenchmarkInfo]":
    """Open what `caan prepare` wrote; images are read from disk when they are accessed.

    Args:
        path: The OUT_DIR of `caan prepare`.

    Returns:
        The `DatasetDict` with the splits train, validation and test, and the contents of `benchmark.json`.

    Raises:
        CaanError: `path` is not a prepared benchmark, or it is damaged.
    """
    info = read_info(path)
    from datasets import DatasetDict  # noqa: PLC0415 - takes seconds, and is not needed to report a wrong folder

    try:
        return DatasetDict.load_from_disk(str(path)), info
    except (OSError, ValueError, LookupError) as error:
        raise CaanError(f"{path}: cannot be opened ({error}). {REMEDY}") from error

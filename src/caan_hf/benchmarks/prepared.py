"""A prepared benchmark on disk: the contents of `benchmark.json`, and how to open it."""

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import ConfigDict, Field

from caan_hf.descriptions.spelling import is_text
from caan_hf.errors import CaanError
from caan_hf.utils.files import is_file, printable
from caan_hf.utils.problems import Problem
from caan_hf.utils.records import Record

if TYPE_CHECKING:
    from datasets import DatasetDict

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
    images: Literal["embedded", "referenced"] = "embedded"
    skipped: list[Problem] = Field(default_factory=list)
    created_with: str = ""


def require_text_path(path: Path) -> None:
    """Refuse a folder that `datasets` cannot open.

    Raises:
        CaanError: Its path is not UTF-8.
    """
    if not is_text(str(path.absolute())):
        raise CaanError(f"{printable(path)}: its path is not UTF-8, so the benchmark cannot be opened. Rename it.")


def load_benchmark(path: str | Path) -> "tuple[DatasetDict, BenchmarkInfo]":
    """Open what `caan prepare` wrote; images are read from disk when they are accessed.

    Args:
        path: The OUT_DIR of `caan prepare`.

    Returns:
        The `DatasetDict` with the splits train, validation and test, and the contents of `benchmark.json`.

    Raises:
        CaanError: `path` is not a prepared benchmark, or it is damaged.
    """
    path = Path(path)
    if not (is_file(path / INFO_FILE) and is_file(path / "dataset_dict.json")):
        raise CaanError(f"{path}: not a prepared benchmark. Prepare one with `caan prepare`.")
    require_text_path(path)
    info = BenchmarkInfo.read(path / INFO_FILE, REMEDY)
    from datasets import DatasetDict  # noqa: PLC0415 - takes seconds, and is not needed to report a wrong folder

    try:
        return DatasetDict.load_from_disk(str(path)), info
    except (OSError, ValueError, LookupError) as error:
        raise CaanError(f"{path}: cannot be opened ({error}). {REMEDY}") from error

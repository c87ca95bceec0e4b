"""Named and versioned protocols: which categories are unseen, what the gallery contains, and who published it.

A protocol's id, such as `sketchy-25@1`, is stored in the prepared benchmark and in every result. Its version increases
when the same name starts to mean other images, so results with the same id are comparable.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from caan_hf.descriptions.spelling import fold
from caan_hf.errors import CaanError

from .categories import published_split

if TYPE_CHECKING:
    from .prepared import BenchmarkInfo

SAKE_LISTS = "category lists of SAKE (Liu et al., ICCV 2019) and ZSE-SBIR (Lin et al., CVPR 2023)"
# Every protocol is reported in all of them, because papers on the same benchmark use different ones.
CONVENTIONS = ("standard", "sake", "zse", "hits")


@dataclass(frozen=True)
class Protocol:
    """How a benchmark is evaluated.

    Attributes:
        name: Name without the version.
        version: Increases when the same name starts to mean other images.
        sources: Where categories and gallery come from.
        gallery: Which photos are ranked for which sketches.
        headline: Metrics that papers on this benchmark report.
        published: Numbers of sketches and photos in the published test lists; None if there are no such lists.
        conventions: Metric conventions in which results are reported.
    """

    name: str
    version: int
    sources: tuple[str, ...]
    gallery: str = "every photo of an unseen category for every sketch of one"
    headline: tuple[str, ...] = ("mAP@all", "P@100")
    published: tuple[int, int] | None = None
    conventions: tuple[str, ...] = CONVENTIONS

    @property
    def id(self) -> str:
        """Name and version, such as `sketchy-25@1`."""
        return f"{self.name}@{self.version}"

    @property
    def has_lists(self) -> bool:
        """Whether the categories are fixed; those of `folder` and `sample` are not."""
        return self.published is not None

    @property
    def seen(self) -> tuple[str, ...]:
        """Categories for training and validation; empty if they are not fixed."""
        return published_split(self.name).seen if self.has_lists else ()

    @property
    def unseen(self) -> tuple[str, ...]:
        """Categories of the test split; empty if they are not fixed."""
        return published_split(self.name).unseen if self.has_lists else ()

    def deviations(self, info: "BenchmarkInfo") -> list[str]:
        """How a prepared benchmark differs from the published one, as phrases for a report.

        Args:
            info: The contents of its `benchmark.json`.
        """
        if self.published is None:
            return []
        found = []
        missing = {fold(name) for name in self.unseen} - {fold(name) for name in info.unseen}
        if missing:
            found.append(f"{len(missing)} of the {len(self.unseen)} unseen categories are missing")
        test = info.counts.test
        if (test.sketch, test.photo) != self.published:
            sketches, photos = self.published
            found.append(
                f"a subset or variant: {test.sketch:,} sketches and {test.photo:,} photos, where the published lists "
                f"have {sketches:,} and {photos:,}; not comparable with published numbers"
            )
        return found


_SKETCHY = "every photo of an unseen category, base and extended, for every sketch of one; base photos appear twice"
_ALL = (
    Protocol("sketchy-25", 1, (SAKE_LISTS,), _SKETCHY, published=(15_229, 17_101)),
    Protocol(
        "sketchy-21",
        1,
        (SAKE_LISTS, "unseen categories of Yelamarthi et al., ECCV 2018: none is a category of ImageNet"),
        _SKETCHY,
        headline=("mAP@200", "P@200"),
        published=(12_694, 12_553),
    ),
    Protocol("tuberlin-30", 1, (f"{SAKE_LISTS}; two other lists of 30 are in use",), published=(2_400, 27_989)),
    Protocol(
        "quickdraw-30",
        1,
        ("QuickDraw-Extended (Dey et al., CVPR 2019)", SAKE_LISTS),
        headline=("mAP@all", "P@200"),
        published=(92_291, 54_151),
    ),
    Protocol("folder", 1, ("your own images",)),
    Protocol("sample", 1, ("drawn by this package",)),
)
PROTOCOLS = {protocol.name: protocol for protocol in _ALL}


def protocol_named(name: str) -> Protocol:
    """The protocol of an id (`sketchy-25@1`) or a name (`sketchy-25`).

    Raises:
        CaanError: There is no protocol of that name, or not in that version.
    """
    bare, _, version = name.partition("@")
    protocol = PROTOCOLS.get(bare)
    if protocol is None:
        raise CaanError(f"{name!r}: no such protocol. Choose from {', '.join(known.id for known in _ALL)}.")
    if version and version != str(protocol.version):
        raise CaanError(f"{name}: this version of caan-hf supports only {protocol.id}. Prepare the benchmark again.")
    return protocol

"""Named and versioned protocols: which categories are unseen, what the gallery holds, and where that comes from.

A protocol's id, such as `sketchy-25@1`, is stored in the prepared benchmark and in every result. Its version goes up
when the same name comes to mean other images, so that two results with one id can be compared.
"""

from dataclasses import dataclass
from typing import Any

from caan_hf.descriptions.spelling import fold
from caan_hf.errors import CaanError

from .categories import published_split

SAKE_LISTS = "category lists of SAKE (Liu et al., ICCV 2019) and ZSE-SBIR (Lin et al., CVPR 2023)"
CONVENTIONS = ("standard", "sake", "zse", "hits")
"""Every protocol is reported in all of them, side by side: papers on one benchmark do not share one."""


@dataclass(frozen=True)
class Protocol:
    """How a benchmark is evaluated.

    Attributes:
        name: without the version.
        version: goes up when the same name comes to mean other images.
        gallery: which photos are ranked for which sketches.
        sources: where categories and gallery come from.
        headline: the metrics that papers on it report.
        published: sketches and photos of the published test lists; None where there is no such list.
        conventions: metric conventions in which it is reported.
    """

    name: str
    version: int
    gallery: str
    sources: tuple[str, ...]
    headline: tuple[str, ...] = ("mAP@all", "P@100")
    published: tuple[int, int] | None = None
    conventions: tuple[str, ...] = CONVENTIONS

    @property
    def id(self) -> str:
        """Name and version, such as `sketchy-25@1`."""
        return f"{self.name}@{self.version}"

    @property
    def has_lists(self) -> bool:
        """Whether the categories are fixed; of `folder` and `sample` they are the user's own or drawn."""
        return self.published is not None

    @property
    def seen(self) -> tuple[str, ...]:
        """Categories that may be trained on and validated with; empty where they are not fixed."""
        return published_split(self.name).seen if self.has_lists else ()

    @property
    def unseen(self) -> tuple[str, ...]:
        """Categories of the test; empty where they are not fixed."""
        return published_split(self.name).unseen if self.has_lists else ()

    def deviations(self, info: dict[str, Any]) -> list[str]:
        """How a prepared benchmark differs from what was published, in sentences for its report.

        Args:
            info: the contents of its `benchmark.json`.
        """
        if not self.has_lists:
            return []
        found = []
        missing = {fold(name) for name in self.unseen} - {fold(name) for name in info["unseen"]}
        if missing:
            found.append(f"{len(missing)} of the {len(self.unseen)} unseen categories are missing")
        counts = info["counts"]["test"]
        if (counts["sketch"], counts["photo"]) != self.published:
            sketches, photos = self.published
            found.append(
                f"a subset or variant: {counts['sketch']:,} sketches and {counts['photo']:,} photos, where the "
                f"published lists have {sketches:,} and {photos:,}; not comparable with published numbers"
            )
        return found


_SKETCHY = "every photo of an unseen category, base and extended ones, for every sketch of one; base photos stand twice"
PROTOCOLS = {
    protocol.name: protocol
    for protocol in (
        Protocol("sketchy-25", 1, _SKETCHY, (SAKE_LISTS,), published=(15_229, 17_101)),
        Protocol(
            "sketchy-21",
            1,
            _SKETCHY,
            (SAKE_LISTS, "unseen categories of Yelamarthi et al., ECCV 2018: none is a category of ImageNet"),
            headline=("mAP@200", "P@200"),
            published=(12_694, 12_553),
        ),
        Protocol(
            "tuberlin-30",
            1,
            "every photo of an unseen category for every sketch of one",
            (f"{SAKE_LISTS}; two other lists of 30 are in use",),
            published=(2_400, 27_989),
        ),
        Protocol(
            "quickdraw-30",
            1,
            "every photo of an unseen category for every sketch of one",
            ("QuickDraw-Extended (Dey et al., CVPR 2019)", SAKE_LISTS),
            headline=("mAP@all", "P@200"),
            published=(92_291, 54_151),
        ),
        Protocol("folder", 1, "every photo of an unseen category for every sketch of one", ("your own images",)),
        Protocol("sample", 1, "every photo of an unseen category for every sketch of one", ("drawn by this package",)),
    )
}


def protocol_named(name: str) -> Protocol:
    """The protocol of an id (`sketchy-25@1`) or a bare name (`sketchy-25`).

    Raises:
        CaanError: there is none of that name, or not in that version.
    """
    bare, _, version = name.partition("@")
    protocol = PROTOCOLS.get(bare)
    if protocol is None:
        raise CaanError(
            f"no protocol is called {name!r}; there are {', '.join(known.id for known in PROTOCOLS.values())}"
        )
    if version and version != str(protocol.version):
        raise CaanError(f"{name}: this version of caan-hf knows {protocol.id} alone; prepare the benchmark again")
    return protocol

"""Named and versioned protocols. `docs/protocols.md` gives their sources, galleries and metrics.

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


@dataclass(frozen=True)
class Protocol:
    """Which images a benchmark consists of.

    Attributes:
        name: Name without the version.
        published: Numbers of sketches and photos in the published test lists; None if there are no such lists.
        version: Increases when the same name starts to mean other images.
        has_pairs: Whether its sketches were drawn from its photos, as their file names say; see `pairs.py`.
    """

    name: str
    published: tuple[int, int] | None = None
    version: int = 1
    has_pairs: bool = False

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
        """Categories for training and validation, if they are fixed."""
        return published_split(self.name).seen

    @property
    def unseen(self) -> tuple[str, ...]:
        """Categories of the test split, if they are fixed."""
        return published_split(self.name).unseen

    def deviations(self, info: "BenchmarkInfo") -> list[str]:
        """How a prepared benchmark differs from the published one, as phrases for a report."""
        if self.published is None:
            return []
        found = []
        missing = set(map(fold, self.unseen)) - set(map(fold, info.unseen))
        if missing:
            found.append(f"{len(missing)} of the {len(self.unseen)} unseen categories are missing")
        test, (sketches, photos) = info.counts.test, self.published
        if (test.sketch, test.photo) != self.published:
            found.append(
                f"{test.sketch:,} sketches and {test.photo:,} photos, where the published lists have {sketches:,} and "
                f"{photos:,}: do not compare the scores with published ones"
            )
        return found


_ALL = (
    Protocol("sketchy-25", published=(15_229, 17_101), has_pairs=True),
    Protocol("sketchy-21", published=(12_694, 12_553), has_pairs=True),
    Protocol("tuberlin-30", published=(2_400, 27_989)),
    Protocol("quickdraw-30", published=(92_291, 54_151)),
    Protocol("folder", has_pairs=True),
    Protocol("sample"),
)
PROTOCOLS = {protocol.name: protocol for protocol in _ALL}


def protocol_named(name: str) -> Protocol:
    """The protocol of an id (`sketchy-25@1`) or a name (`sketchy-25`).

    Raises:
        CaanError: There is no protocol of that name, or not in that version.
    """
    protocol = PROTOCOLS.get(name.partition("@")[0])
    if protocol is None:
        raise CaanError(f"{name!r}: no such protocol. Choose from {', '.join(known.id for known in _ALL)}.")
    if name not in (protocol.name, protocol.id):
        raise CaanError(f"{name}: this version of caan-hf supports only {protocol.id}. Prepare the benchmark again.")
    return protocol

"""Report of `Gallery.add`."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from caan_hf.utils.problems import Problems

from .schema import IndexState


@dataclass
class IndexReport:
    """What one call of `Gallery.add` did.

    Attributes:
        num_added: Number of photos that were not in the gallery, without moved ones.
        num_copies: Number of added photos with the content of another photo of the gallery.
        num_moved: Number of photos that replaced one with the same content whose file no longer exists.
        num_changed: Number of photos whose file had changed.
        num_refreshed: Number of unchanged photos whose stored copy or thumbnail was changed.
        num_unchanged: Number of photos that were skipped because they are in the gallery already.
        num_reused: Number of written photos that reuse the embedding of a photo with the same content.
        num_spoiled: Number of photos that were removed because their file has changed and can no longer be read.
        vanished: Photos of the gallery that the source no longer lists.
        num_pruned: Number of vanished photos that were removed from the gallery.
        num_forgotten: Number of photos that were removed from the gallery with `forget`.
        absent: Absent folders, perhaps of a disk that is not mounted, with the number of their photos, which are kept.
        num_stored: Number of photos in the gallery with a copy of their file.
        num_photos: Number of photos in the gallery now.
        num_other_files: Number of files in the folder that are not photos.
        skipped_folders: System folders and excluded folders.
        problems: Photos that were skipped because they cannot be used, with the reasons.
        freed_bytes: Number of bytes on disk that were freed by removing old versions and deleted rows.
        seconds: Time for encoding and writing in seconds.
        smooth: Number of neighbours with which photos are smoothed; 0 for none. At most half of the photos are used.
        hub_weight: Weight of hub correction; None for none.
        vectors_seconds: Time for smoothing and hub correction in seconds; 0 if no photo had changed.
        index: State of the vector index.
    """

    num_added: int = 0
    num_copies: int = 0
    num_moved: int = 0
    num_changed: int = 0
    num_refreshed: int = 0
    num_unchanged: int = 0
    num_reused: int = 0
    num_spoiled: int = 0
    vanished: Sequence[str] = ()
    num_pruned: int = 0
    num_forgotten: int = 0
    absent: dict[str, int] = field(default_factory=dict)
    num_stored: int = 0
    num_photos: int = 0
    num_other_files: int = 0
    skipped_folders: Sequence[str] = ()
    problems: Problems = field(default_factory=Problems)
    freed_bytes: int = 0
    seconds: float = 0.0
    smooth: int = 0
    hub_weight: float | None = None
    vectors_seconds: float = 0.0
    index: IndexState = field(default_factory=IndexState)

    @property
    def num_vanished(self) -> int:
        """Number of `vanished` photos."""
        return len(self.vanished)

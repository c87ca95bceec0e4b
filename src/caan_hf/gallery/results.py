"""Photos of a gallery and results of a search."""

import re
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, kw_only=True)
class GalleryPhoto:
    """A photo of a gallery.

    Attributes:
        path: Path of the photo; for an image of a dataset, the dataset and the row.
        width: Width in pixels.
        height: Height in pixels.
        thumbnail: JPEG; None if the gallery stores no thumbnails.
        local_embeds: (M, R) local embeddings; None if they are neither stored nor computed.
        sha256: SHA-256 of the file in hexadecimal. Copies of a photo share it.
    """

    path: str
    width: int
    height: int
    thumbnail: bytes | None = field(default=None, repr=False)
    local_embeds: NDArray[np.floating] | None = field(default=None, repr=False, compare=False)
    sha256: str = field(default="", repr=False)


@dataclass(frozen=True, kw_only=True)
class SearchResult(GalleryPhoto):
    """A photo that a search found.

    Attributes:
        rank: 1 for the best result.
        score: Cosine of the global embeddings of the query and the photo. The query is expanded with query expansion,
            and the photo is smoothed in a smoothed gallery. Hub correction lowers the score.
        local_score: Score of the regions of the sketch that match regions of the photo: at most 1 for late interaction,
            a logit for a relation network. None without re-ranking.
        fused_score: Score that ordered the re-ranked results: `score` and `local_score` combined with the weight in the
            model's configuration. None without re-ranking.
    """

    rank: int
    score: float
    local_score: float | None = None
    fused_score: float | None = None

    @property
    def ranking_score(self) -> float:
        """The score that ordered the results: `fused_score` with re-ranking, otherwise `score`."""
        return self.score if self.fused_score is None else self.fused_score

    def to_dict(self) -> dict[str, Any]:
        """The fields that can be written as JSON."""
        names = ("rank", "path", "score", "local_score", "fused_score", "width", "height")
        return {name: getattr(self, name) for name in names}


def path_parts(path: str) -> list[str]:
    """Folders and name of a photo, on this or another system."""
    return re.split(r"[/\\]", path.rstrip("/\\"))


def shown_name(path: str) -> str:
    """The name of a photo without its folders, which a public page must not show."""
    return path_parts(path)[-1] or path

"""What torch says about a few pictures, kept beside the graphs: `caan-export check` compares with it, without torch."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .borrowed import CaanError
from .manifest import REFERENCE

KINDS = {"sketch_encoder": ("noise", "sketches"), "photo_encoder": ("noise", "photos")}
"""What each encoder is tried on."""
OUTPUTS = ("global_embeds", "local_embeds")


@dataclass(frozen=True)
class Reference:
    """Pictures and torch's answers in float32.

    Attributes:
        pictures: `noise`, `sketches` and `photos` -> (8, H, W, 3) uint8, cleaned and of the encoders' size.
        answers: (branch, kind, output) -> (8, ...) float32.
        relation_logits: (8, 8) float32, of the answers to the sketches and the photos.
    """

    pictures: dict[str, np.ndarray]
    answers: dict[tuple[str, str, str], np.ndarray]
    relation_logits: np.ndarray

    def save(self, folder: Path) -> None:
        """Writes `reference.npz`."""
        arrays = {f"picture/{kind}": pictures for kind, pictures in self.pictures.items()}
        arrays |= {"answer/" + "/".join(key): values for key, values in self.answers.items()}
        np.savez_compressed(folder / REFERENCE, relation_logits=self.relation_logits, **arrays)

    @classmethod
    def load(cls, folder: Path) -> "Reference":
        """Reads what `save` wrote; nothing is unpickled.

        Raises:
            CaanError: it is not that.
        """
        try:
            with np.load(folder / REFERENCE, allow_pickle=False) as file:
                pictures = {kind: file[f"picture/{kind}"] for kind in ("noise", "sketches", "photos")}
                keys = [(branch, kind, output) for branch in KINDS for kind in KINDS[branch] for output in OUTPUTS]
                answers = {key: file["answer/" + "/".join(key)] for key in keys}
                return cls(pictures, answers, file["relation_logits"])
        except Exception as error:  # a damaged archive raises anything
            raise CaanError(f"{folder / REFERENCE}: cannot be read ({error}); export again") from error

"""How far the graphs' answers are from torch's."""

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from .borrowed import CaanError
from .manifest import RELATION
from .reference import KINDS, OUTPUTS, Reference
from .runtime import CaanOnnx

BATCHES = (1, 3, 8)
PAIRS = ((1, 1), (1, 8), (3, 8), (8, 3), (8, 8))
ATOL = {"fp32": 1e-4, "fp16": 1e-2, "int8": 0.15}
"""Greatest absolute difference that is let pass, in components of unit vectors."""


@dataclass(frozen=True)
class Difference:
    """One output on one kind of input.

    Attributes:
        branch: which graph.
        output: which of its outputs.
        inputs: `noise`, `sketches`, `photos` or `pairs`.
        batch: how many at once, such as "3", or "3 x 8" sketches and photos.
        greatest: greatest absolute difference.
        allowed: the greatest that is let pass; of logits in proportion to the largest.
        cosine: least cosine of a vector with torch's; None for logits.
    """

    branch: str
    output: str
    inputs: str
    batch: str
    greatest: float
    allowed: float
    cosine: float | None = None

    @property
    def passed(self) -> bool:
        """Whether it is let pass; NaN is not."""
        return self.greatest <= self.allowed

    def as_row(self) -> dict[str, Any]:
        """For the manifest."""
        return asdict(self)


def measure_parity(caan: CaanOnnx, reference: Reference, atol: float) -> list[Difference]:
    """Every output of every branch at batches of 1, 3 and 8 on noise, drawn sketches and photos."""
    # The relation network is in float32 in any case, and is asked about torch's own local features.
    exact = atol if caan.manifest.dtype == "fp32" else min(atol, ATOL["fp32"])
    return [*_encoders(caan, reference, atol), *_relation(caan, reference, exact)]


def require_parity(differences: Iterable[Difference]) -> None:
    """Lets answers pass that are close enough.

    Raises:
        CaanError: an output is too far from torch's; the message names the worst.
    """
    failed = [difference for difference in differences if not difference.passed]
    if failed:
        worst = max(failed, key=lambda difference: np.nan_to_num(difference.greatest / difference.allowed, nan=np.inf))
        raise CaanError(
            f"{worst.branch}.onnx: {worst.output} differs from torch by {worst.greatest:.2g} on {worst.inputs} at "
            f"batch {worst.batch}; at most {worst.allowed:.2g} is allowed (--atol)"
        )


def summary(differences: Iterable[Difference]) -> dict[str, float]:
    """`branch.output` -> its greatest difference over everything it was tried on."""
    greatest: dict[str, float] = {}
    for difference in differences:
        name = f"{difference.branch}.{difference.output}"
        greatest[name] = float(np.maximum(greatest.get(name, 0.0), difference.greatest))
    return greatest


def _encoders(caan: CaanOnnx, reference: Reference, atol: float) -> Iterator[Difference]:
    for branch, kinds in KINDS.items():
        for kind in kinds:
            pixel_values = caan.preprocessing.normalise(reference.pictures[kind])
            for batch in BATCHES:
                found = caan.encode_pixel_values(branch.removesuffix("_encoder"), pixel_values[:batch])
                for output in OUTPUTS:
                    expected, answer = reference.answers[branch, kind, output][:batch], getattr(found, output)
                    greatest = float(np.abs(answer - expected).max())
                    cosine = float((answer * expected).sum(-1).min())
                    yield Difference(branch, output, kind, str(batch), greatest, atol, cosine)


def _relation(caan: CaanOnnx, reference: Reference, atol: float) -> Iterator[Difference]:
    sketches = reference.answers["sketch_encoder", "sketches", "local_embeds"]
    photos = reference.answers["photo_encoder", "photos", "local_embeds"]
    for rows, columns in PAIRS:
        expected = reference.relation_logits[:rows, :columns]
        answer = caan.relation_logits(sketches[:rows], photos[:columns])
        allowed = atol * max(1.0, float(np.abs(expected).max()))
        greatest = float(np.abs(answer - expected).max())
        yield Difference(RELATION, "relation_logits", "pairs", f"{rows} x {columns}", greatest, allowed)

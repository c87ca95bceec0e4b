"""Charts of a report: the precision-recall curve and the confusion between categories."""

from collections.abc import Sequence
from io import BytesIO

import numpy as np
from matplotlib.figure import Figure
from torch import Tensor

MOST_CATEGORIES = 60
"""More rows than this are not legible in a confusion chart."""


def precision_recall_chart(curves: dict[str, Sequence[float]], chance: float) -> bytes:
    """PNG of interpolated precision by recall.

    Args:
        curves: name -> precision at recall 0, 0.01, ... 1.
        chance: share of relevant photos, the precision of a random ranking.
    """
    figure = Figure(figsize=(6.4, 4.2), dpi=130, layout="constrained")
    axes = figure.subplots()
    for name, precision in curves.items():
        axes.plot(np.linspace(0, 1, len(precision)), precision, label=name, linewidth=2)
    axes.axhline(chance, color="#888888", linestyle="--", linewidth=1, label="random ranking")
    axes.set(xlabel="recall", ylabel="interpolated precision", xlim=(0, 1), ylim=(0, 1.02))
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)
    return _png(figure)


def confusion_chart(shares: Tensor, names: Sequence[str]) -> bytes | None:
    """PNG of a matrix of shares (C, C), sketches down and retrieved photos across; None for too many categories."""
    if len(names) > MOST_CATEGORIES:
        return None
    side = 2.2 + 0.24 * len(names)
    figure = Figure(figsize=(side + 0.6, side), dpi=110, layout="constrained")
    axes = figure.subplots()
    image = axes.imshow(shares.numpy(), cmap="viridis", vmin=0, vmax=float(shares.max()))
    labels = [name.replace("_", " ") for name in names]
    axes.set_xticks(range(len(names)), labels, rotation=90, fontsize=8)
    axes.set_yticks(range(len(names)), labels, fontsize=8)
    axes.set(xlabel="category of the ten best photos", ylabel="category of the sketch")
    figure.colorbar(image, ax=axes, shrink=0.7, label="share of the ten best")
    return _png(figure)


def _png(figure: Figure) -> bytes:
    stream = BytesIO()
    figure.savefig(stream, format="png", metadata={"Software": None})
    return stream.getvalue()

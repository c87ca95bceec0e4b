"""Options of an evaluation, shared by `caan evaluate`, `caan compare`, [`evaluate`] and [`ZeroShotEvaluator`]."""

import shlex
from dataclasses import dataclass, fields
from numbers import Integral
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from typer import Option

from caan_hf.encoding.options import DeviceOption, DTypeOption
from caan_hf.errors import CaanError
from caan_hf.retrieval.reranking import NUM_CANDIDATES
from caan_hf.retrieval.smoothing import MAX_NEIGHBOURS

if TYPE_CHECKING:
    from caan_hf.encoding.encoder import Encoder

WITHOUT_EFFECT = ("batch_size", "num_workers", "device", "cache", "no_cache", "progress")
"""Options that do not change a metric by more than rounding."""

FineGrainedOption = Annotated[
    bool,
    Option(
        "--fine-grained",
        help="Rank the photos of each sketch's own category; only the photo that it was drawn from is right. "
        "Global, local and fused scores are evaluated.",
    ),
]
TextOption = Annotated[
    bool,
    Option(
        "--text",
        help="Rank photos and sketches by the name and the descriptions of each category, alone and beside a sketch. "
        "The model must have been trained with model.text_negatives=all.",
    ),
]
TextWeightOption = Annotated[float, Option(min=0, help="Weight of the text beside a sketch, for --text.")]
CATEGORY_ONLY = ("rerank", "smooth", "hub_weight", "expand", "exhaustive", "generalized", "mixed", "seen_queries")
"""Options of the evaluation by category, which ranks the whole gallery for each sketch; `--text` allows `mixed`."""


@dataclass(frozen=True)
class EvaluationOptions:
    """What to evaluate, and how.

    Raises:
        CaanError: Options are out of range or mutually exclusive.
    """

    split: Annotated[
        str, Option(help="Split to evaluate: its sketches are the queries and its photos are the gallery.")
    ] = "test"
    rerank: Annotated[
        int | None,
        Option(
            min=0,
            metavar="K",
            help="Also re-rank the first K photos of each sketch by their fused score; 0 for none.",
            show_default=f"{NUM_CANDIDATES} if the model has a weight for it, which is set where it helps, otherwise 0",
        ),
    ] = None
    no_rerank: Annotated[bool, Option("--no-rerank", help="The same as --rerank 0.")] = False
    smooth: Annotated[
        int | None,
        Option(
            min=1,
            max=MAX_NEIGHBOURS,
            metavar="K",
            help="Also rank with each photo smoothed with its K nearest photos. --expand and --rerank then use the "
            "smoothed photos.",
        ),
    ] = None
    hub_weight: Annotated[
        float | None,
        Option(
            min=0,
            max=1,
            metavar="WEIGHT",
            help="Weight of the correction of hubs, photos that are near to sketches of all kinds. 0 ranks without it. "
            "--expand and --rerank use it too.",
            show_default="the model's",
        ),
    ] = None
    expand: Annotated[
        int | None,
        Option(min=1, metavar="K", help="Also rank with each sketch expanded by its first K photos (query expansion)."),
    ] = None
    exhaustive: Annotated[
        bool,
        Option(
            "--exhaustive",
            help="Also rank by comparing the local tokens of each sketch with those of every photo (slow).",
        ),
    ] = False
    max_pairs: Annotated[int, Option(min=1, help="Maximum number of pairs for --exhaustive.")] = 20_000_000
    generalized: Annotated[
        bool, Option("--generalized", help="Add a fifth of the seen photos to the gallery (generalised ZS-SBIR).")
    ] = False
    mixed: Annotated[
        bool,
        Option("--mixed", help="Add all photos of seen categories to the gallery, and report precision at 12."),
    ] = False
    seen_queries: Annotated[
        Path | None,
        Option(
            metavar="DIR",
            help="With --mixed, also rank for the sketches of seen categories in another benchmark, which training "
            "must not have used.",
            show_default=False,
        ),
    ] = None
    trained_on: Annotated[
        str | None,
        Option(
            metavar="DATA",
            help="Training data, for a cross-dataset evaluation: a prepared folder, a protocol or a file of "
            "categories. Categories that training saw are left out.",
            show_default="as recorded in the model",
        ),
    ] = None
    cache: Annotated[
        Path | None,
        Option(metavar="DIR", help="Folder of cached embeddings.", show_default="caan-embeddings in the Hub's cache"),
    ] = None
    no_cache: Annotated[bool, Option("--no-cache", help="Neither read nor write cached embeddings.")] = False
    batch_size: Annotated[int, Option(min=1, help="Batch size.")] = 64
    num_workers: Annotated[
        int | None, Option(min=1, help="Number of threads that read images.", show_default="one per core, at most 8")
    ] = None
    device: DeviceOption = None
    dtype: DTypeOption = "auto"
    seed: Annotated[
        int, Option(min=0, max=2**32 - 1, help="Seed of the bootstrap and of the sketches in the figure.")
    ] = 0
    progress: bool = True

    def __post_init__(self) -> None:
        for name in ("rerank", "smooth", "expand", "batch_size", "num_workers", "max_pairs"):
            value, least = getattr(self, name), 0 if name == "rerank" else 1
            if value is not None and (not isinstance(value, Integral) or value < least):
                expected = "a positive integer" if least else "0 or a positive integer"
                raise CaanError(f"--{name.replace('_', '-')}: must be {expected}, got {value!r}.")
        if (self.smooth or 0) > MAX_NEIGHBOURS:
            raise CaanError(f"--smooth: must be at most {MAX_NEIGHBOURS}, got {self.smooth}.")
        if self.hub_weight is not None and not 0 <= self.hub_weight <= 1:
            raise CaanError(f"--hub-weight: must be between 0 and 1, got {self.hub_weight}.")
        if self.mixed and self.generalized:
            raise CaanError("--mixed and --generalized are mutually exclusive.")
        if self.seen_queries is not None and not self.mixed:
            raise CaanError("--seen-queries needs --mixed.")
        for other in ("exhaustive", "no_rerank"):
            if self.rerank and getattr(self, other):
                raise CaanError(f"--rerank and --{other.replace('_', '-')} are mutually exclusive.")
        if self.no_cache and self.cache is not None:
            raise CaanError("--cache and --no-cache are mutually exclusive.")

    def num_candidates(self, encoder: "Encoder") -> int:
        """Number of photos per sketch to re-rank with an encoder; 0 for none."""
        if self.no_rerank or self.exhaustive:
            return 0
        return (NUM_CANDIDATES if encoder.reranks else 0) if self.rerank is None else self.rerank

    def check_alone(self, option: str, allowed: str | None = None) -> None:
        """Refuse options that a fine-grained evaluation and text queries do not have.

        Args:
            option: "--fine-grained" or "--text".
            allowed: Name of an option that may be set.

        Raises:
            CaanError: One of them is set.
        """
        for name in CATEGORY_ONLY:
            if getattr(self, name) and name != allowed:
                raise CaanError(f"{option} and --{name.replace('_', '-')} are mutually exclusive.")

    def command(self, model: str, data: str, *, fine_grained: bool = False) -> str:
        """The command that gives the same metrics."""
        words = ["caan", "evaluate", model, "--data", data, "--split", self.split]
        words += ["--fine-grained"] if fine_grained else []
        for known in fields(self):
            value = getattr(self, known.name)
            if known.name in ("split", *WITHOUT_EFFECT) or value == known.default:
                continue
            words += [f"--{known.name.replace('_', '-')}", *([] if value is True else [str(value)])]
        return shlex.join(words)

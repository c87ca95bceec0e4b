"""Compare published models on unseen categories and in a gallery of all photos of Sketchy (see docs/results.md).

    python bench/models.py DATA DRAWINGS MODEL... [--record bench/records/models.json]

DATA is the Sketchy subset without validation categories, DRAWINGS a benchmark of drawings of its seen categories that
no model was trained on (bench/held_out_drawings.py). The rankings are those of `caan evaluate`: by cosine, with the
best photos re-ranked, and as a search shows them by default, with the photos smoothed.
"""

from pathlib import Path
from typing import Any

from common import record_parser, run, write_record

from caan_hf.encoding.load import load_encoder
from caan_hf.evaluation import EvaluationOptions
from caan_hf.evaluation.evaluate import evaluate
from caan_hf.evaluation.rankings import EvaluationResult
from caan_hf.gallery.options import SMOOTH

CUTOFF = "P@12"


def main() -> None:
    parser = record_parser(__doc__)
    parser.add_argument("data")
    parser.add_argument("drawings")
    parser.add_argument("models", nargs="+")
    options = parser.parse_args()
    record = []
    for model in options.models:
        encoder = load_encoder(model)
        for gallery, more in (("unseen", {}), ("all", {"mixed": True, "seen_queries": options.drawings})):
            plain = evaluate(encoder, options.data, EvaluationOptions(hub_weight=0, **more))
            default = evaluate(encoder, options.data, EvaluationOptions(smooth=SMOOTH, **more))
            for queries, before, after in (("unseen", plain, default), ("seen", plain.seen, default.seen)):
                if before is not None and after is not None:
                    row = {"model": Path(model).name, "gallery": gallery, "photos": before.num_gallery}
                    row |= {"queries": queries, "chance": before.chance, "rankings": rankings(before, after)}
                    print(row, flush=True)
                    record.append(row)
    write_record(options.record, record)


def rankings(plain: EvaluationResult, default: EvaluationResult) -> dict[str, dict[str, Any]]:
    """Metrics by ranking."""
    found = {"cosine": plain, "re-ranked": plain.reranked, "default": default.shown}
    metrics = {name: one.conventions["standard"] for name, one in found.items() if one is not None}
    return {name: {key: one[key] for key in ("mAP@all", CUTOFF) if key in one} for name, one in metrics.items()}


if __name__ == "__main__":
    run(main)

"""Compare checkpoints in fine-grained retrieval, on the unseen categories (see docs/results.md).

    python bench/fine_grained.py DATA NAME=CHECKPOINT... [--record bench/records/fine_grained.json]

Late interaction is measured without the position prior and with a weight of 0.2, whatever the checkpoint says, and the
fused score with a weight of the local score of 0.6.
"""

from common import record_parser, run, write_record

import caan_hf
from caan_hf.encoding.checkpoint import CheckpointEncoder
from caan_hf.evaluation.options import EvaluationOptions

POSITIONS, WEIGHT = (0.0, 0.2), 0.6


def main() -> None:
    parser = record_parser(__doc__)
    parser.add_argument("data")
    parser.add_argument("checkpoints", nargs="+", metavar="NAME=CHECKPOINT")
    parser.add_argument("--split", default="test")
    options = parser.parse_args()
    rows = []
    for name, _, checkpoint in (word.partition("=") for word in options.checkpoints):
        encoder = CheckpointEncoder.load(checkpoint)
        encoder.model.config.local_weight = WEIGHT
        for position in POSITIONS:
            encoder.model.config.local_position_weight = position
            result = caan_hf.evaluate(encoder, options.data, EvaluationOptions(split=options.split), fine_grained=True)
            for ranking, found in result.rankings.items():
                if ranking == "global" and position:
                    continue  # as before
                row = {"name": name, "ranking": ranking, "position": position, "metrics": found.metrics}
                row["confidence"] = found.confidence()
                rows.append(row)
                print(name, ranking, position, found.metrics, flush=True)
        rows.append({"name": name, "ranking": "chance", "position": 0.0, "metrics": result.chance})
    write_record(options.record, rows)


if __name__ == "__main__":
    run(main)

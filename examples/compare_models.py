"""Evaluate a trained checkpoint and an untrained vision tower on a prepared benchmark, and print both.

    python examples/compare_models.py runs/quickstart/model google/vit-base-patch16-224 runs/quickstart/data

`caan compare A B --data DIR` also tests whether the difference is significant.
"""

import sys

import caan_hf

checkpoint, tower, data = sys.argv[1:]
print(f"{'mAP@all':>8} {'chance':>8} {'P@100':>8}  model")
for model in (checkpoint, tower):
    result = caan_hf.evaluate(model, data)
    metrics = result.metrics  # in the convention `standard`; result.conventions has the others
    print(f"{metrics['mAP@all']:8.3f} {result.chance:8.3f} {metrics['P@100']:8.3f}  {model} ({result.model_kind})")

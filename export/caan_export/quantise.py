"""Encoders with int8 weights: a quarter of the size, and faster on CPUs that multiply bytes (VNNI, AMX, NEON)."""

import logging
from pathlib import Path

from onnxruntime.quantization import QuantType, quantize_dynamic

from .graphs import SINGLE_FILE_LIMIT

QUANTISED = ("MatMul", "Gemm")
"""The linear layers. Convolutions (a patch embedding, the local tokens) are small, and slower in bytes."""


def quantise(file: Path) -> None:
    """Replaces a float32 graph by one whose linear layers have int8 weights, a scale a channel.

    Activations are quantised as they come, so no data is needed to calibrate.
    """
    quantised = file.with_suffix(".int8")
    disabled = logging.root.manager.disable
    logging.disable(logging.WARNING)  # advice to run a preprocessing that the exporter has done
    try:
        quantize_dynamic(
            file,
            quantised,
            per_channel=True,
            weight_type=QuantType.QInt8,
            op_types_to_quantize=list(QUANTISED),
            use_external_data_format=file.stat().st_size > 4 * SINGLE_FILE_LIMIT,
        )
        quantised.replace(file)
    finally:
        logging.disable(disabled)
        quantised.unlink(missing_ok=True)

"""CAAN without torch: verified ONNX graphs, and the runtime that encodes and re-ranks with them.

`caan_export.runtime` needs neither torch nor transformers. Only `caan_export.export` does.
"""

import os

# Builds of onnxruntime for Linux and macOS since 1.29 send data on its use to Microsoft unless this is set before they
# are imported.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

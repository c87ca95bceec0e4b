"""CAAN without torch: verified ONNX graphs, and the runtime that encodes and re-ranks with them.

`caan_export.runtime` needs neither torch nor transformers. Only `caan_export.export` does.
"""

"""CAAN without torch: its branches as ONNX graphs, verified, and the runtime that serves them.

`caan_export.runtime` needs numpy, pillow and onnxruntime only; what exports needs `caan_hf`, and so torch.
"""

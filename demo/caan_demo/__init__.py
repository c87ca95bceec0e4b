"""Draw something in the browser, see the photos of it, and why: a Gradio Space, and `caan-demo` on one's own photos."""

import os

# Read when gradio is imported: what people draw, and that they do, is nobody else's business.
os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")

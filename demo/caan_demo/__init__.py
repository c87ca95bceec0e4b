"""The demo: search photos by drawing in the browser, as a Gradio Space or with `caan-demo`."""

import os

from caan_hf.cli import start

# Gradio reads these when it is imported; the demo must not send anything to anyone.
os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")


def caan_demo() -> None:
    """Entry point of the console script."""
    start("caan_demo.cli")

"""The demo as a Hugging Face Space.

Variables of the Space, all optional:
    CAAN_MODEL: Hub id of a trained CAAN or of an export; default: the published CAAN.
    CAAN_GALLERY: Gallery created by `caan index`, a folder of this repository or a URL; default: drawn samples.
    CAAN_PHOTOS: Folder of this repository or Hub id of a dataset, indexed when the Space starts.
"""

import os
import signal
import sys
import threading

from caan_demo.cli import open_galleries
from caan_demo.page import build_page
from caan_demo.searcher import Searcher
from caan_demo.server import served
from rich.console import Console

if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that visitors' files are deleted
    places = [os.environ["CAAN_GALLERY"]] if os.environ.get("CAAN_GALLERY") else []
    photos, model = os.environ.get("CAAN_PHOTOS") or None, os.environ.get("CAAN_MODEL") or None
    galleries, notice = open_galleries(photos, places, model, None, Console(stderr=True))
    searchers = {name: Searcher(gallery) for name, gallery in galleries.items()}
    # A Space sets address and port by gradio's own variables.
    host, port = os.environ.get("GRADIO_SERVER_NAME", "127.0.0.1"), int(os.environ.get("GRADIO_SERVER_PORT", "7860"))
    with served(lambda: build_page(searchers, notice=notice), host, port) as address:
        print(address, flush=True)
        threading.Event().wait()

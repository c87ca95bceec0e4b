"""The demo as a Hugging Face Space.

Variables of the Space, all optional:
    CAAN_MODEL: Hub id of a trained CAAN, or of an export; default: the published one.
    CAAN_GALLERY: a gallery that `caan index` made, as a folder of this repository or a URL; default: drawn samples.
    CAAN_PHOTOS: a folder of this repository or a dataset's Hub id, indexed when the Space starts.
"""

import os

from caan_demo.cli import end_tidily, open_galleries, wait
from caan_demo.page import build_page
from caan_demo.searcher import Searcher
from caan_demo.server import served
from rich.console import Console

if __name__ == "__main__":
    end_tidily()
    places = [os.environ["CAAN_GALLERY"]] if os.environ.get("CAAN_GALLERY") else []
    photos, model = os.environ.get("CAAN_PHOTOS") or None, os.environ.get("CAAN_MODEL") or None
    galleries, notice = open_galleries(photos, places, model, None, Console(stderr=True))
    searchers = {name: Searcher(gallery) for name, gallery in galleries.items()}
    # A Space says where to listen through gradio's own variables.
    host, port = os.environ.get("GRADIO_SERVER_NAME", "127.0.0.1"), int(os.environ.get("GRADIO_SERVER_PORT", "7860"))
    with served(lambda: build_page(searchers, notice=notice), host, port) as address:
        print(address, flush=True)
        wait()

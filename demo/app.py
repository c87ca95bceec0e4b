"""The demo as a Hugging Face Space.

Variables of the Space, all optional:
    CAAN_MODEL: Hub id of a trained CAAN or of an export; default: the published CAAN.
    CAAN_GALLERY: Gallery created by `caan index`, a folder of this repository or a URL; default: drawn samples.
    CAAN_PHOTOS: Folder of this repository or Hub id of a dataset, indexed when the Space starts.
"""

import os

from caan_demo.cli import demo

from caan_hf.cli.command import ended_by_sigterm

if __name__ == "__main__":
    with ended_by_sigterm():  # so that visitors' files are deleted
        given = os.environ.get
        gallery = given("CAAN_GALLERY")
        # A Space sets address and port by gradio's own variables.
        demo(
            given("CAAN_PHOTOS") or None,
            gallery=[gallery] if gallery else None,
            model=given("CAAN_MODEL") or None,
            host=given("GRADIO_SERVER_NAME", "127.0.0.1"),
            port=int(given("GRADIO_SERVER_PORT", "7860")),
            browser=False,
        )

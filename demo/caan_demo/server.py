"""Serves the page: on this machine alone unless told otherwise, and nothing but the page."""

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import gradio as gr
from starlette.middleware import Middleware

from caan_hf.errors import CaanError

from .guard import Guard
from .look import CSS, theme
from .searcher import MAX_FILE_BYTES

MAX_WAITING = 64
SESSIONS = 256
"""Visitors whose last search is remembered for explanations."""


@contextmanager
def served(build: Callable[[], gr.Blocks], host: str = "127.0.0.1", port: int | None = None) -> Iterator[str]:
    """Serve a page while the block runs; gives its address.

    Args:
        build: makes the page; called when it is settled where gradio may keep files.
        host: 127.0.0.1 for this machine alone, 0.0.0.0 for all that can reach it.
        port: None for a free one from 7860 on.

    Raises:
        CaanError: it cannot listen there.
    """
    with tempfile.TemporaryDirectory(prefix="caan-demo-") as folder:
        # Gradio serves what lies in these folders, so they are ours alone and go when we do.
        kept = {"GRADIO_TEMP_DIR": folder, "GRADIO_EXAMPLES_CACHE": f"{folder}/examples"}
        with _environment(**kept), _serve(build, host, port) as address:
            yield address


@contextmanager
def _serve(build: Callable[[], gr.Blocks], host: str, port: int | None) -> Iterator[str]:
    page = build().queue(max_size=MAX_WAITING, default_concurrency_limit=2)
    try:
        _, address, _ = page.launch(
            server_name=host,
            server_port=port,
            share=False,
            quiet=True,
            prevent_thread_lock=True,
            ssr_mode=False,
            mcp_server=False,
            run_history=False,
            enable_monitoring=False,
            footer_links=["api"],
            max_file_size=MAX_FILE_BYTES,
            state_session_capacity=SESSIONS,
            app_kwargs={"middleware": [Middleware(Guard)]},
            theme=theme(),
            css=CSS,
        )
    except (OSError, ValueError) as error:
        where = f"{host}:{port}" if port else host
        raise CaanError(f"{where}: cannot be listened on ({str(error).partition('.')[0]})") from error
    try:
        yield address
    finally:
        page.close(verbose=False)


@contextmanager
def _environment(**variables: str) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})

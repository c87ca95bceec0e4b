"""Serves the page, by default to this machine only."""

import asyncio
import os
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager, suppress
from importlib.resources import files
from pathlib import Path

import gradio as gr
from starlette.applications import Starlette

from caan_hf.errors import CaanError
from caan_hf.service.guard import Hosts
from caan_hf.service.searcher import MAX_FILE_BYTES

from .guard import PageGuard, refuse_urls

MAX_WAITING = 32
"""Maximum number of waiting requests. Further requests fail at once with a message that the demo is busy."""
DELETE_FILES_EVERY, DELETE_FILES_AFTER = 10, 3600
"""Seconds between deletions of visitors' files, and their age."""
MAX_FILES_BYTES = 2**30
"""Disk space of visitors' files. If they take more, the oldest ones are deleted."""
BLOCK = 4096
"""Disk space in bytes that a file or folder takes besides its content."""
SESSIONS = 128
"""Number of visitors whose results are kept for explanations; each takes up to 3 MB."""

Lifespan = Callable[[Starlette], AbstractAsyncContextManager[None]]


@contextmanager
def served(
    build: Callable[[], gr.Blocks], host: str = "127.0.0.1", port: int | None = None, allow_hosts: Sequence[str] = ()
) -> Iterator[str]:
    """Serve a page while the block runs.

    Args:
        build: Builds the page. It is called after the folder for gradio's files has been set.
        host: 127.0.0.1 for this machine only, 0.0.0.0 for the network.
        port: Port; None for the first free port from 7860.
        allow_hosts: Further host names under which the page can be opened, see [`Hosts`].

    Yields:
        The address of the page.

    Raises:
        CaanError: The address or port is not available.
    """
    # Gradio serves all files in these folders, so they are new, and deleted at the end.
    with tempfile.TemporaryDirectory(prefix="caan-demo-") as folder, _gradio_folders(folder):
        page = build().queue(max_size=MAX_WAITING, default_concurrency_limit=2)
        try:
            yield _launch(page, host, port, _lifespan(Hosts(host, allow_hosts), Path(folder)))
        finally:
            page.close(verbose=False)


def _launch(page: gr.Blocks, host: str, port: int | None, lifespan: Lifespan) -> str:
    """Start serving in a thread; returns the address."""
    refuse_urls(page)
    # System fonts only: the page loads nothing from other servers.
    theme = gr.themes.Default(
        font=["system-ui", "-apple-system", "Segoe UI", "Roboto", "sans-serif"],
        font_mono=["ui-monospace", "Consolas", "monospace"],
    )
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
            app_kwargs={"lifespan": lifespan},
            _frontend=False,  # gradio would give up if the first answer took 3 seconds, as on a busy machine
            theme=theme.set(block_info_text_color="*neutral_500"),
            css=(files("caan_demo") / "page.css").read_text(encoding="utf-8"),
        )
    except (OSError, ValueError) as error:
        where = f"{host}:{port}" if port else host
        raise CaanError(
            f"{where}: not available ({str(error).partition('.')[0]}). Choose another --host or --port."
        ) from error
    return str(address)


def _lifespan(hosts: Hosts, folder: Path) -> Lifespan:
    """Wrap the app in the guard, and delete visitors' files regularly while it runs.

    Middleware that is passed to gradio runs inside gradio's own, which would answer foreign origins.
    """

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        assert app.middleware_stack is not None
        app.middleware_stack = PageGuard(app.middleware_stack, hosts, "caan-demo")
        deletion = asyncio.create_task(_delete_regularly(folder))
        yield
        deletion.cancel()

    return lifespan


async def _delete_regularly(folder: Path) -> None:
    kept = set(folder.rglob("*"))  # the page's own files, such as the examples
    while True:
        await asyncio.sleep(DELETE_FILES_EVERY)
        await asyncio.to_thread(delete_old_files, folder, kept, DELETE_FILES_AFTER, MAX_FILES_BYTES)


def delete_old_files(folder: Path, kept: set[Path], age: float, max_bytes: int) -> None:
    """Delete old files of visitors and empty folders. Gradio does not delete empty folders and cancelled uploads.

    Args:
        folder: Gradio's files.
        kept: Files and folders that stay.
        age: Time since the last change in seconds from which a file is deleted.
        max_bytes: Disk space that the files may take. If they take more, the oldest are deleted.
    """
    latest = time.time() - age
    left = []
    for path in set(folder.rglob("*")) - kept:
        with suppress(OSError):  # deleted meanwhile
            status = path.lstat()
            left.append((status.st_ctime, path, status.st_size + BLOCK))
    excess = sum(size for _, _, size in left) - max_bytes
    for changed, path, size in sorted(left):
        if changed > latest and excess <= 0:
            break
        with suppress(OSError):  # a folder that holds files
            path.rmdir() if path.is_dir() else path.unlink()
            excess -= size
            if path.parent not in {folder, *kept}:
                path.parent.rmdir()


@contextmanager
def _gradio_folders(folder: str) -> Iterator[None]:
    variables = {"GRADIO_TEMP_DIR": folder, "GRADIO_EXAMPLES_CACHE": f"{folder}/examples"}
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})

"""What all commands share: options declared as dataclasses, errors in one line, tables printed in full."""

import dataclasses
import errno
import inspect
import io
import logging
import signal
import sys
import typing
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import typer
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from caan_hf.errors import CaanError

EXTRAS = {
    "accelerate": "train",
    "datasets": "train",
    "filelock": "train",
    "gradio": "demo",
    "jinja2": "train",
    "lancedb": "gallery",
    "matplotlib": "train",
    "onnx": "export",
    "onnxruntime": "export",
    "onnxscript": "export",
    "pyarrow": "train",
    "ray": "scale",
    "torch": "export",  # an installation for ONNX exports lacks torch and transformers
    "transformers": "export",
    "yaml": "train",
}
"""Optional packages and the extra that installs them."""

INTERRUPTED = 130
OS_REMEDIES = {
    errno.ENOSPC: "Free disk space.",
    errno.EDQUOT: "Free disk space.",
    errno.EACCES: "Check its permissions.",
    errno.EPERM: "Check its permissions.",
    errno.EROFS: "Choose another folder.",
    errno.ENAMETOOLONG: "Give a shorter name.",
}
"""Errors of the operating system that any command can meet, and what the user should do."""


def command(function: Callable[..., Any]) -> Callable[..., Any]:
    """Turn each parameter that is annotated with a dataclass into one command line option per field.

    The fields are annotated as typer wants it, `rerank: Annotated[int | None, Option(help="...")] = None`, so that an
    option is declared and documented in one place: the dataclass that the library function takes.

    Example:
        ```python
        @app.command()
        @command
        def evaluate(model: str, options: EvaluationOptions) -> None: ...
        ```
    """
    signature = inspect.signature(function, eval_str=True)
    grouped: dict[str, list[inspect.Parameter]] = {}
    parameters: list[inspect.Parameter] = []
    for name, parameter in signature.parameters.items():
        if dataclasses.is_dataclass(parameter.annotation):
            grouped[name] = _options(parameter.annotation)
        parameters += grouped.get(name, [parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY)])

    def run_command(**values: Any) -> Any:
        for name, options in grouped.items():
            values[name] = signature.parameters[name].annotation(**{one.name: values.pop(one.name) for one in options})
        return function(**values)

    run_command.__name__ = function.__name__
    run_command.__doc__ = function.__doc__
    run_command.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    run_command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    return run_command


def _options(options: Any) -> list[inspect.Parameter]:
    """A parameter per field that is annotated for typer."""
    hints = typing.get_type_hints(options, include_extras=True)
    return [
        inspect.Parameter(field.name, inspect.Parameter.KEYWORD_ONLY, default=_default(field), annotation=hint)
        for field in dataclasses.fields(options)
        if field.init and hasattr(hint := hints[field.name], "__metadata__")
    ]


def _default(field: dataclasses.Field[Any]) -> Any:
    if field.default_factory is not dataclasses.MISSING:
        return field.default_factory()
    return inspect.Parameter.empty if field.default is dataclasses.MISSING else field.default


def run(app: typer.Typer) -> None:
    """Run a command line and log to stderr.

    The exit status is 2, with one line on stderr, for bad input, and 130 when interrupted.
    """
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that temporary folders are removed
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal without UTF-8 must not lose the result of long work
    _log_to_stderr()
    try:
        app()
    except CaanError as error:
        _print_error(_one_line(error))
        sys.exit(2)
    except ModuleNotFoundError as error:
        extra = EXTRAS.get((error.name or "").partition(".")[0])
        if extra is None:
            raise
        _print_error(f'this command needs {error.name}: pip install "caan-hf[{extra}]"')
        sys.exit(2)
    except OSError as error:
        if error.errno not in OS_REMEDIES:
            raise
        _print_error(f"{error.filename or 'output'}: {error.strerror}. {OS_REMEDIES[error.errno]}")
        sys.exit(2)
    except (KeyboardInterrupt, SystemExit) as error:
        code = error.code if isinstance(error, SystemExit) else INTERRUPTED
        if code == INTERRUPTED:  # typer turns KeyboardInterrupt into this status
            typer.echo("stopped", err=True)
        sys.exit(code)
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)  # an exception at interpreter exit would be printed


def _log_to_stderr() -> None:
    """Show the log messages of the library, which does not configure logging itself."""
    logger = logging.getLogger("caan_hf")
    logger.setLevel(logging.INFO)
    logger.addHandler(_StderrHandler())


class _StderrHandler(logging.Handler):
    """Prints to the current `sys.stderr`, which a progress bar replaces while it is shown."""

    def emit(self, record: logging.LogRecord) -> None:
        print(self.format(record), file=sys.stderr, flush=True)


def _print_error(message: str) -> None:
    Console(stderr=True).print(f"[bold red]error:[/] {escape(message)}", soft_wrap=True, highlight=False)


def _one_line(error: CaanError) -> str:
    """The message, without the traceback in which a DataLoader worker wraps it."""
    text = str(error).strip()
    return text.rpartition(f"{CaanError.__name__}: ")[2] if "Original Traceback" in text else text


def print_table(header: Sequence[str], rows: Iterable[Sequence[str]], *, text_columns: int = 1) -> None:
    """Print a table at its full width, even where the terminal is narrower, so that no number is cut off.

    Args:
        header: Column names.
        rows: Cells.
        text_columns: Number of columns on the left that hold words; the others are aligned right.
    """
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for place, name in enumerate(header):
        table.add_column(name, justify="left" if place < text_columns else "right", no_wrap=True)
    for row in rows:
        table.add_row(*map(escape, row))
    console = Console(highlight=False)
    width = Console(width=1000).measure(table).maximum  # rich measures within the width of the console
    console.width = max(console.width, width)
    console.print(table)

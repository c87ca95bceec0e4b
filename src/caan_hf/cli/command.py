"""What all commands share: options declared as dataclasses, errors in one line, tables printed in full."""

import dataclasses
import inspect
import io
import logging
import os
import re
import signal
import sys
import threading
import typing
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import typer
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from typer.exceptions import TyperException

from caan_hf.errors import CaanError, is_out_of_memory, one_line, os_problem
from caan_hf.utils.installation import missing

INTERRUPTED = 130
TERMINATED = 143


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

    A command continues if its output cannot be written, for example to a full disk. The exit status is 2, with one line
    on stderr, for bad input, for output that could not be written, and if disk space or memory are insufficient. It is
    130 after an interrupt.
    """
    with ended_by_sigterm():
        _run_and_exit(app)


@contextmanager
def ended_by_sigterm() -> Iterator[None]:
    """Let SIGTERM raise `SystemExit` while the block runs, so that temporary folders are removed."""
    hook = sys.unraisablehook
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(TERMINATED))
    sys.unraisablehook = _signal_again
    try:
        yield
    finally:
        sys.unraisablehook = hook
        signal.signal(signal.SIGTERM, signal.SIG_DFL)  # an exception at interpreter exit would be printed


def _signal_again(unraisable: "sys.UnraisableHookArgs") -> None:
    """Repeat a signal that arrived in a `__del__`, such as a DataLoader's, where Python prints and drops exceptions."""
    number = None
    if isinstance(unraisable.exc_value, KeyboardInterrupt):
        number = signal.SIGINT
    elif isinstance(unraisable.exc_value, SystemExit) and unraisable.exc_value.code == TERMINATED:
        number = signal.SIGTERM
    if number is None:
        sys.__unraisablehook__(unraisable)
    else:
        threading.Timer(0.01, os.kill, [os.getpid(), number]).start()  # after the `__del__`


def _run_and_exit(app: typer.Typer) -> None:
    streams = sys.stdout, sys.stderr
    stdout, sys.stdout = _steady(sys.stdout)
    _, sys.stderr = _steady(sys.stderr)
    _log_to_stderr()
    try:
        status = _run(app)
        if stdout is not None:
            try:
                sys.stdout.flush()
            except BrokenPipeError:  # Python would try to write the output again when it exits
                os.dup2(os.open(os.devnull, os.O_WRONLY), stdout.fileno())
                status = status or 1
            if stdout.problem is not None:
                _print_error(f"standard output: {stdout.problem.strerror}, so what was printed is incomplete.")
                status = status or 2
        sys.exit(status)
    finally:
        sys.stdout, sys.stderr = streams


def _run(app: typer.Typer) -> int | str | None:
    """Run a command line and return its exit status."""
    try:
        status = app(standalone_mode=False)  # errors in the arguments are raised
    except SystemExit as error:
        return error.code
    except Exception as error:
        line = _line(error)
        if line is None:
            raise
        if line:
            _print_error(line)
        return 2
    if status == INTERRUPTED:  # typer turns KeyboardInterrupt into this status
        typer.echo("stopped", err=True)
    return status if isinstance(status, int) else 0


def _line(error: Exception) -> str | None:
    """The one line for an error that the user can remedy; None for a fault of the program."""
    if isinstance(error, CaanError):
        return str(error)
    if isinstance(error, TyperException):
        return _usage_problem(error)
    if isinstance(error, ModuleNotFoundError):
        return missing(error.name)
    if is_out_of_memory(error):
        return f"not enough memory ({one_line(error)}). Free memory, or choose a smaller model, image or batch size."
    problem = os_problem(error)
    return problem and f"{getattr(error, 'filename', None) or 'output'}: {problem[0]}. {problem[1]}"


def _usage_problem(error: TyperException) -> str:
    """What is wrong with the arguments of a command, and its usage."""
    message = " ".join(error.format_message().split()) if hasattr(error, "format_message") else one_line(error)
    message = message.replace("Value error, ", "")  # of the library that checks the values
    if re.match(r"--\w+\.\w", str(getattr(error, "option_name", ""))):
        message += ". Changes of a recipe have no dashes, such as training.seed=2."
    if not message:  # the help was printed
        return ""
    message += "" if message.endswith((".", "?")) else "."
    context = getattr(error, "ctx", None)
    if context is None:  # the parser has none when an option lacks its value
        return f"{message} See --help."
    usage = " ".join([context.command_path, *context.command.collect_usage_pieces(context)])
    return f"{message} Usage: {re.sub('[{}]', '', usage)}"


class _SteadyFile(io.FileIO):
    """A file that records the first write error and drops further output, so that a full disk does not stop training.

    A closed pipe still ends the command, as in other programs.
    """

    problem: OSError | None = None

    def write(self, data: Any, /) -> int:
        """Write, or drop, all of the data."""
        if self.problem is None:
            try:
                return super().write(data)
            except BrokenPipeError:
                raise
            except OSError as error:
                self.problem = error
        return memoryview(data).nbytes


def _steady(stream: Any) -> tuple[_SteadyFile | None, Any]:
    """The file of an output stream and a stream that writes to it; the same stream if it has no file.

    Characters that the encoding of the stream lacks are written as escapes, so that they remain legible.
    """
    if not isinstance(stream, io.TextIOWrapper):
        return None, stream
    try:
        file = _SteadyFile(stream.fileno(), "w", closefd=False)
    except (OSError, ValueError):
        return None, stream
    stream.flush()
    text = io.TextIOWrapper(
        io.BufferedWriter(file),
        encoding=stream.encoding,
        errors="backslashreplace",
        line_buffering=stream.line_buffering,
        write_through=stream.write_through,
    )
    return file, text


def _log_to_stderr() -> None:
    """Show the log messages of the library, which does not configure logging itself."""
    logger = logging.getLogger("caan_hf")
    logger.setLevel(logging.INFO)
    logger.addHandler(_StderrHandler())
    logging.getLogger("matplotlib").setLevel(logging.ERROR)  # it warns where the home folder cannot be written


class _StderrHandler(logging.Handler):
    """Prints to the current `sys.stderr`, which a progress bar replaces while it is shown."""

    def emit(self, record: logging.LogRecord) -> None:
        print(self.format(record), file=sys.stderr, flush=True)


def _print_error(message: str) -> None:
    Console(stderr=True).print(f"[bold red]error:[/] {escape(message)}", soft_wrap=True, highlight=False)


def print_table(header: Sequence[str], rows: Iterable[Sequence[str]], *, text_columns: int = 1) -> None:
    """Print a table at its full width, so that a narrow terminal does not cut off numbers.

    Args:
        header: Column names.
        rows: Cells.
        text_columns: Number of text columns on the left; the others are right-aligned.
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

"""Tables of the subcommands."""

from collections.abc import Iterable

from rich import box
from rich.table import Table


def differences_table(differences: Iterable) -> Table:
    """The greatest difference and the least cosine of each output on each kind of input, over all batch sizes."""
    worst: dict[tuple[str, str, str], object] = {}
    for difference in differences:
        key = difference.branch, difference.output, difference.inputs
        if key not in worst or not difference.greatest <= worst[key].greatest:
            worst[key] = difference
    table = Table(box=box.SIMPLE_HEAD)
    for name in ("branch", "output", "on"):
        table.add_column(name, no_wrap=True)
    for name in ("difference", "allowed", "cosine"):
        table.add_column(name, justify="right")
    for (branch, output, inputs), difference in worst.items():
        cosine = f"{difference.cosine:.6f}" if difference.cosine is not None else ""
        table.add_row(branch, output, inputs, f"{difference.greatest:.1e}", f"{difference.allowed:.1e}", cosine)
    return table


def timings_table(timings: Iterable) -> Table:
    """One row an engine; the JSON has the slowest calls too."""
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    for name in ("branch", "batch", "engine"):
        table.add_column(name, justify="right" if name == "batch" else "left", no_wrap=True)
    for name in ("least ms", "median ms", "cpu ms", "a second", "x eager"):
        table.add_column(name, justify="right")
    for timing in timings:
        table.add_row(
            timing.branch,
            str(timing.batch),
            timing.engine,
            *(f"{value:.1f}" for value in (timing.least_ms, timing.median_ms, timing.cpu_ms)),
            f"{timing.per_second:,.0f}",
            f"{timing.times_eager:.2f}" if timing.times_eager is not None else "",
        )
    return table

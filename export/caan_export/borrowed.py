"""Files of `caan_hf` that need only numpy and PIL, without what `import caan_hf` brings: torch and transformers."""

import importlib
import importlib.util
import sys
from pathlib import Path
from types import ModuleType


def borrow(name: str) -> ModuleType:
    """The module `caan_hf.NAME`, loaded from its file; the package's own `__init__` does not run.

    The module is entered under its real name, so that its classes stay the same ones if `caan_hf` is imported later.
    """
    full_name = f"caan_hf.{name}"
    if "caan_hf" in sys.modules:
        return importlib.import_module(full_name)
    if full_name in sys.modules:
        return sys.modules[full_name]
    package = importlib.util.find_spec("caan_hf")  # finds it, does not run it
    spec = importlib.util.spec_from_file_location(full_name, Path(package.origin).with_name(f"{name}.py"))
    module = sys.modules[full_name] = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[full_name]
        raise
    return module


CaanError = borrow("errors").CaanError

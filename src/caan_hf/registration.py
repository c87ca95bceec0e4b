"""Registers CAAN with the Auto classes of `transformers`, without importing `transformers` or torch too early.

`import caan_hf` must be quick and must work without torch and transformers. CAAN is therefore registered when
`transformers.models.auto` is imported, for example by `from transformers import AutoModel`.
"""

import sys
from collections.abc import Callable, Sequence
from functools import partial
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType

AUTO_MODULE = "transformers.models.auto"


def register() -> None:
    """Register configuration, model and processor; calling it again changes nothing."""
    from transformers import AutoConfig, AutoModel, AutoProcessor  # noqa: PLC0415

    from .configuration_caan import CaanConfig  # noqa: PLC0415
    from .modeling_caan import CaanModel  # noqa: PLC0415
    from .processing_caan import CaanProcessor  # noqa: PLC0415

    AutoConfig.register("caan", CaanConfig, exist_ok=True)
    AutoModel.register(CaanConfig, CaanModel, exist_ok=True)
    AutoProcessor.register(CaanConfig, CaanProcessor, exist_ok=True)


def register_when_needed() -> None:
    """Register now if the Auto classes are imported already, otherwise as soon as they are."""
    if AUTO_MODULE in sys.modules:
        register()
    else:
        sys.meta_path.insert(0, _Finder())


class _Finder(MetaPathFinder):
    """Finds the modules of transformers and CAAN as Python does, and registers CAAN after their import."""

    def __init__(self) -> None:
        # Depth of nested imports. Modules of transformers import the Auto classes before they are complete themselves,
        # and CAAN's modules import the Auto classes.
        self.depth = 0

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if not name.startswith("transformers.") and not (name.startswith("caan_hf.") and name.endswith("_caan")):
            return None
        spec = PathFinder.find_spec(name, path, target)
        if spec is not None and spec.loader is not None:
            spec.loader.exec_module = partial(self._execute, spec.loader.exec_module)  # type: ignore[method-assign]
        return spec

    def _execute(self, exec_module: Callable[[ModuleType], None], module: ModuleType) -> None:
        """Execute a module. After the outermost one, register CAAN if the Auto classes exist, and stop watching."""
        self.depth += 1
        try:
            exec_module(module)
        finally:
            self.depth -= 1
        if self.depth == 0 and AUTO_MODULE in sys.modules and self in sys.meta_path:
            sys.meta_path.remove(self)
            register()

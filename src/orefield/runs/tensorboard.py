"""The numbers of metrics.jsonl for TensorBoard; it is imported only where asked for."""

from importlib.util import find_spec
from pathlib import Path
from typing import Any

from orefield.config import RunConfig
from orefield.errors import OrefieldError, RunError

FOLDER = "tensorboard"


def check_log(config: RunConfig) -> None:
    """Raise OrefieldError, which says what to install, where the settings' log cannot be written.

    To be called before training.
    """
    if config.log == "tensorboard" and find_spec("tensorboard") is None:
        raise OrefieldError("--log tensorboard needs: pip install 'orefield[tensorboard]'")


class TensorBoardLog:
    """Scalars in RUN/tensorboard, in a file of its own for each start of the training."""

    def __init__(self, run: Path, step: int) -> None:
        """For a run at `step`: what an earlier start wrote of later ones is no longer shown.

        Raises RunError where the folder is a link, OSError where it cannot be written.
        """
        from torch.utils.tensorboard import SummaryWriter

        folder = run / FOLDER
        if folder.is_symlink():
            raise RunError(f"{folder}: is a link; expected a folder, or none")
        purge = step + 1 if step else None
        self._writer = SummaryWriter(str(folder), purge_step=purge)

    def add(self, line: dict[str, Any]) -> None:
        """A line of metrics.jsonl: each number under its name, the losses as `losses/color`.

        Raises OSError where it cannot be written; later calls will, too.
        """
        step = line["step"]
        flat = {f"losses/{name}": value for name, value in line.get("losses", {}).items()}
        flat |= {name: value for name, value in line.items() if name not in ("step", "losses")}
        for name, value in flat.items():
            if value is not None:
                self._writer.add_scalar(name, value, step)
        self._writer.flush()

    def close(self) -> None:
        """Write what is left; OSError where that fails."""
        self._writer.close()

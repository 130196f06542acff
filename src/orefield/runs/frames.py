"""A folder of frames that a second call goes on with, if it asks for the same."""

import json
import re
from collections.abc import Mapping, Sequence
from hashlib import sha256
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float
from PIL import Image

from orefield.report.pictures import save_picture
from orefield.system.files import write_atomically, write_json

RECORD = "render.json"
_OURS = re.compile(r"\d{4,}\.png|video\.mp4")
_DEPTHS = re.compile(r"\d{4,}\.(png|npy)")
_DEPTH_FOLDER = "depth"


class FrameFolder:
    """PNG files by number, and for depths, in `depth/`, 16-bit PNG and .npy files."""

    def __init__(self, folder: Path, facts: Mapping[str, Any]) -> None:
        """`facts`: all that the frames depend on, as JSON types; written to render.json."""
        self.folder, self.facts = folder, dict(facts)
        text = json.dumps(self.facts, sort_keys=True)
        self.digest = sha256(text.encode()).hexdigest()[:16]

    def frame(self, index: int) -> Path:
        """The file of a frame."""
        return self.folder / f"{index:04d}.png"

    def prepare(self, frames: int) -> list[int]:
        """Numbers of the frames that are still to be made.

        Those of an earlier call with other facts are removed, and nothing else in the folder.
        """
        record = self.folder / RECORD
        if self._made() != self.digest:
            self._clear()
            self.folder.mkdir(parents=True, exist_ok=True)
            write_json(record, {"digest": self.digest, **self.facts})
        return [index for index in range(frames) if not self.frame(index).exists()]

    def write(self, index: int, picture: "Image.Image | np.ndarray") -> None:
        """Write a frame; OSError names the file."""
        save_picture(picture, self.frame(index))

    def write_depth(
        self, index: int, depth: Float[np.ndarray, "height width"], scale: float
    ) -> None:
        """Distances in the files' units as they are, and over `scale` in 16 bits; before `write`.

        Those beyond 65535 scales are written as that.
        """
        place = self.folder / _DEPTH_FOLDER
        place.mkdir(parents=True, exist_ok=True)
        held = np.clip(np.rint(depth / scale), 0, 65535).astype(np.uint16)
        save_picture(Image.fromarray(held), place / f"{index:04d}.png")
        data = BytesIO()
        np.save(data, depth.astype(np.float32))
        write_atomically(place / f"{index:04d}.npy", data.getvalue())

    def files(self, frames: int) -> Sequence[Path]:
        """The files of so many frames."""
        return [self.frame(index) for index in range(frames)]

    def _made(self) -> str:
        """The digest of what the folder holds; empty where it says none."""
        try:
            return str(json.loads((self.folder / RECORD).read_text())["digest"])
        except (OSError, ValueError, KeyError, TypeError):  # none yet, or damaged: made anew
            return ""

    def _clear(self) -> None:
        for place, ours in ((self.folder, _OURS), (self.folder / _DEPTH_FOLDER, _DEPTHS)):
            for file in place.iterdir() if place.is_dir() else ():
                if ours.fullmatch(file.name):
                    file.unlink()

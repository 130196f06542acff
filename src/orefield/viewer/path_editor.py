"""The camera path that the page edits: keyframes in the coordinates of the scene's files."""

from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

from orefield.cameras.keyframes import path_through
from orefield.cameras.path_file import CameraPath, PathPose, read_path, write_path
from orefield.errors import CameraPathError

MOST_SECONDS, MOST_FPS = 600.0, 120.0


@dataclass
class PathEditor:
    """Keyframes, and what a path through them is to be like."""

    width: int
    """Of the frames, in pixels."""
    height: int
    seconds: float = 4.0
    fps: float = 30.0
    loop: bool = False
    keyframes: list[PathPose] = field(default_factory=list)
    frames: tuple[PathPose, ...] = ()
    """Of a path that was loaded without keyframes; without meaning where there are some."""

    def insert(self, index: int, one: PathPose) -> int:
        """Add a keyframe before that of the index, or at the end; returns its own index."""
        index = min(max(index, 0), len(self.keyframes))
        self.keyframes.insert(index, one)
        return index

    def remove(self, index: int) -> None:
        """Remove a keyframe, if there is one of this index."""
        del self.keyframes[index : index + 1]

    def shift(self, index: int, by: int) -> int:
        """Exchange a keyframe with the one `by` places later; returns its new index.

        One that has no such neighbor stays where it is.
        """
        other = index + by
        if not 0 <= other < len(self.keyframes) or not 0 <= index < len(self.keyframes):
            return index
        marks = self.keyframes
        marks[index], marks[other] = marks[other], marks[index]
        return other

    def path(self) -> CameraPath:
        """The path; CameraPathError where there is no keyframe."""
        frames = self.frames
        if self.keyframes:
            count = max(round(self.seconds * self.fps), 1)
            frames = path_through(self.keyframes, count, self.loop)
        if not frames:
            raise CameraPathError("the camera path has no keyframe yet: add one")
        marks = tuple(self.keyframes)
        return CameraPath(frames, self.width, self.height, self.fps, self.loop, marks)

    def take(self, path: CameraPath) -> None:
        """Edit this path from now on."""
        self.keyframes, self.frames = list(path.keyframes), path.frames
        self.width, self.height = path.width, path.height
        self.fps, self.loop = min(path.fps, MOST_FPS), path.loop
        self.seconds = min(len(path.frames) / self.fps, MOST_SECONDS)


def path_from_bytes(name: str, content: bytes) -> CameraPath:
    """The path in a file's content; CameraPathError, naming the file and field, where it is none.

    `name` is for messages.
    """
    with TemporaryDirectory() as folder:
        file = Path(folder) / "path.json"
        file.write_bytes(content)
        try:
            return read_path(file)
        except CameraPathError as error:
            raise CameraPathError(str(error).replace(str(file), Path(name).name)) from None


def path_to_bytes(path: CameraPath) -> bytes:
    """The content of the path's file."""
    with TemporaryDirectory() as folder:
        write_path(Path(folder) / "path.json", path)
        return (Path(folder) / "path.json").read_bytes()

"""The camera path on the page: keyframes, preview, files, and the film."""

from collections.abc import Callable
from functools import partial
from math import radians
from pathlib import Path

import numpy as np
import torch
import viser

from orefield.cameras.file_units import pose_to_files, pose_to_scene
from orefield.cameras.path_file import CameraPath, PathPose, write_path
from orefield.errors import OrefieldError
from orefield.viewer.clients import ClientPage, Clients, Post
from orefield.viewer.coordinates import quaternion_of
from orefield.viewer.film import Film, FilmOutput
from orefield.viewer.path_editor import (
    MOST_FPS,
    MOST_SECONDS,
    PathEditor,
    path_from_bytes,
    path_to_bytes,
)
from orefield.viewer.render_loop import RenderLoop

FILE = "camera_path.json"
"""In the run's folder."""
_DRAWN = 120
"""Points of the line that shows a path."""
_COLOR = (60, 140, 60)
_NONE = "no keyframe yet"

Action = Callable[[ClientPage], None]


class PathPanel:
    """Shared by all pages."""

    def __init__(
        self,
        server: viser.ViserServer,
        loop: RenderLoop,
        clients: Clients,
        post: Post,
        folder: Path,
        output: FilmOutput,
    ) -> None:
        """`folder`: the run's. `output`: where a film goes."""
        self.server, self.loop, self.clients, self.post = server, loop, clients, post
        self.folder, self.output, self.to_world = folder, output, loop.scene.to_world
        camera = loop.scene.train[0].camera
        self.editor = PathEditor(camera.width, camera.height)
        self.preview: tuple[ClientPage, CameraPath, float] | None = None
        """A page, the path that it sees, and when that began."""
        self._drawn: list[viser.SceneNodeHandle] = []
        gui = server.gui
        with gui.add_folder("Camera path", order=4):
            self._add_keyframe_controls(gui)
            self._add_path_controls(gui)
            self._add_file_controls(gui)

    def _add_keyframe_controls(self, gui: viser.GuiApi) -> None:
        self._button("Add keyframe", self._add, viser.Icon.CAMERA_PLUS)
        self.chosen = gui.add_dropdown("keyframe", (_NONE,))
        group = gui.add_button_group("", ("Go to", "Earlier", "Later", "Delete"))
        group.on_click(
            lambda event: self._act(event.client_id, partial(self._edit, event.target.value))
        )

    def _add_path_controls(self, gui: viser.GuiApi) -> None:
        editor = self.editor
        self.seconds = gui.add_number(
            "seconds", editor.seconds, min=0.1, max=MOST_SECONDS, step=0.1
        )
        self.fps = gui.add_number("frames/s", editor.fps, min=1.0, max=MOST_FPS, step=1.0)
        self.size = gui.add_vector2(
            "frame size", (editor.width, editor.height), min=(16, 16), max=(4096, 4096), step=1
        )
        self.loops = gui.add_checkbox("loop", editor.loop)
        for control in (self.seconds, self.fps, self.size, self.loops):
            control.on_update(lambda event: self._act(event.client_id, self._set))
        self._button("Preview", self._toggle_preview, viser.Icon.PLAYER_PLAY)

    def _add_file_controls(self, gui: viser.GuiApi) -> None:
        self._button("Save path", self._save, viser.Icon.DEVICE_FLOPPY)
        self._button("Download path", self._download, viser.Icon.DOWNLOAD)
        load = gui.add_upload_button("Load path", icon=viser.Icon.UPLOAD, mime_type=".json")
        load.on_upload(
            lambda event: self._act(event.client_id, partial(self._load, event.target.value))
        )
        self.film = self._button("Render film", self._render, viser.Icon.MOVIE)
        self.bar = gui.add_progress_bar(0.0, visible=False)

    def _button(self, label: str, action: Action, icon: viser.IconName) -> viser.GuiButtonHandle:
        button = self.server.gui.add_button(label, icon=icon)
        button.on_click(lambda event: self._act(event.client_id, action))
        return button

    def _act(self, number: int | None, action: Action) -> None:
        """In one of the server's threads: have the action done for the page that asked for it."""

        def act() -> None:
            page = self.clients.page(number)
            if page is None:
                return  # closed, or the page did not ask
            try:
                action(page)
            except (OrefieldError, OSError) as error:
                page.tell("Camera path", str(error), is_error=True)

        self.post(act)

    def tick(self) -> None:
        """Move the camera of a preview; show how far a film is."""
        film = self.loop.film
        self.bar.visible = film is not None
        self.film.label = "Render film" if film is None else "Stop the film"
        if film is not None:
            self.bar.value = 100 * film.progress  # type: ignore[misc]
        if self.preview is None:
            return
        page, path, begun = self.preview
        frame = int((self.loop.clock() - begun) * path.fps)
        over = frame >= len(path.frames) and not path.loop
        if over or page not in self.clients.pages.values():
            self.preview = None
            return
        one = path.frames[frame % len(path.frames)]
        page.move_to(pose_to_scene(one.pose, self.to_world), one.fov)

    def _index(self) -> int:
        return self.chosen.options.index(self.chosen.value) if self.editor.keyframes else -1

    def _add(self, page: ClientPage) -> None:
        eye = page.visitor.eye
        if eye is None:
            return
        one = PathPose(pose_to_files(eye.pose, self.to_world), eye.fov)
        self._show(self.editor.insert(len(self.editor.keyframes), one))

    def _edit(self, what: str, page: ClientPage) -> None:
        index = self._index()
        if index < 0:
            return
        if what == "Go to":
            one = self.editor.keyframes[index]
            page.move_to(pose_to_scene(one.pose, self.to_world), one.fov)
        elif what == "Delete":
            self.editor.remove(index)
            self._show(index)
        else:
            self._show(self.editor.shift(index, 1 if what == "Later" else -1))

    def _set(self, page: ClientPage) -> None:
        editor = self.editor
        editor.seconds, editor.fps = float(self.seconds.value), float(self.fps.value)
        editor.width, editor.height = (int(size) for size in self.size.value)
        editor.loop = self.loops.value
        self._show(self._index())

    def _toggle_preview(self, page: ClientPage) -> None:
        path = self.editor.path()
        self.preview = None if self.preview else (page, path, self.loop.clock())

    def _save(self, page: ClientPage) -> None:
        file = self.folder / FILE
        write_path(file, self.editor.path())
        page.tell("Camera path", f"saved to {file}")

    def _download(self, page: ClientPage) -> None:
        page.client.send_file_download(FILE, path_to_bytes(self.editor.path()))

    def _load(self, file: viser.UploadedFile, page: ClientPage) -> None:
        path = path_from_bytes(file.name, file.content)
        self.editor.take(path)
        editor = self.editor
        self.seconds.value, self.fps.value = editor.seconds, editor.fps  # type: ignore[misc]
        self.size.value = (editor.width, editor.height)  # type: ignore[misc]
        self.loops.value = editor.loop  # type: ignore[misc]
        self._show(0)
        page.tell("Camera path", f"{len(path.keyframes)} keyframes, {len(path.frames)} frames")

    def _render(self, page: ClientPage) -> None:
        if self.loop.film is not None:
            self.loop.film = None
            return
        background = page.visitor.look.background
        self.loop.film = Film(self.editor.path(), self.to_world, background, self.output)

    def _show(self, index: int) -> None:
        """Bring list and drawing up to date; choose the keyframe of this index."""
        marks, self.preview = self.editor.keyframes, None
        names = tuple(str(number + 1) for number in range(len(marks))) or (_NONE,)
        self.chosen.options = names
        self.chosen.value = names[min(max(index, 0), len(names) - 1)]  # type: ignore[misc]
        for node in self._drawn:
            node.remove()
        self._drawn = []
        scene, aspect = self.server.scene, self.editor.width / self.editor.height
        for number, one in enumerate(marks):
            pose = pose_to_scene(one.pose, self.to_world)
            frustum = scene.add_camera_frustum(
                f"/path/keyframe_{number}",
                radians(one.fov),
                aspect,
                scale=0.05,
                color=_COLOR,
                thickness=2.0,
                thickness_units="screen",
                wxyz=quaternion_of(pose),
                position=pose[:, 3].numpy(),
                cast_shadow=False,
            )
            self._drawn.append(frustum)
        if len(marks) > 1:
            self._drawn.append(self._line())

    def _line(self) -> viser.SceneNodeHandle:
        frames = self.editor.path().frames[:: max(len(self.editor.path().frames) // _DRAWN, 1)]
        poses = torch.stack([pose_to_scene(one.pose, self.to_world) for one in frames])
        places = poses[:, :, 3].numpy().astype(np.float32)
        points = np.stack([places[:-1], places[1:]], 1)
        return self.server.scene.add_line_segments(
            "/path/line", points, _COLOR, thickness=2.0, thickness_units="screen"
        )

"""The pages that are open: what each one looks at, and its own controls."""

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch
import viser
from jaxtyping import Float
from torch import Tensor

from orefield.scenes.scene import View
from orefield.viewer.coordinates import pose_of, quaternion_of, vertical_fov
from orefield.viewer.look import LARGEST, LEAST, MINED, SHOWS, Eye, nearest_view
from orefield.viewer.picture import Shown
from orefield.viewer.render_loop import RenderLoop
from orefield.viewer.visitor import Visitor

Post = Callable[[Callable[[], None]], None]
"""Hands an action from one of the server's threads to the thread that renders."""
_SMALLEST_FOV, _LARGEST_FOV = 10.0, 120.0
_QUALITY = 90
"""Of JPEG pictures, in percent."""


class ClientPage:
    """One page: a canvas, and the controls that are its own."""

    def __init__(self, client: viser.ClientHandle, loop: RenderLoop, post: Post) -> None:
        self.client, self.loop, self.post = client, loop, post
        self.visitor = Visitor(self)
        shows = [show for show in SHOWS if loop.subject.mapping or show not in MINED]
        gui = client.gui
        with gui.add_folder("View", order=2):
            self.shows = gui.add_dropdown("show", shows, hint="what the picture shows")
            self.caption = gui.add_markdown("")
            self.blend = gui.add_slider(
                "blend", 0.0, 1.0, 0.05, 0.5, hint="0: photograph, 1: render", visible=False
            )
            self.background = gui.add_rgb("background", (255, 255, 255))
            fov = self._clipped(math.degrees(client.camera.fov))
            self.fov = gui.add_slider(
                "field of view", _SMALLEST_FOV, _LARGEST_FOV, 0.1, fov, hint="vertical, degrees"
            )
            self.longest = gui.add_slider(
                "pixels", LEAST, LARGEST, 64, self.visitor.look.longest, hint="longer side, at rest"
            )
            nearest = gui.add_button("Look from the nearest photograph")
        for control in (self.shows, self.blend, self.background, self.longest):
            control.on_update(lambda _: post(self._wish))
        self.fov.on_update(lambda _: post(self._zoom))
        nearest.on_click(lambda _: post(self._go_to_nearest))
        client.camera.on_update(lambda _: post(self._moved))
        self._moved()

    def show(self, shown: Shown) -> None:
        """Send a picture to the page."""
        self.client.scene.set_background_image(
            shown.picture, format="jpeg", jpeg_quality=_QUALITY, depth=shown.depth
        )
        if self.caption.content != shown.caption:
            self.caption.content = shown.caption

    def tell(self, title: str, text: str, is_error: bool = False) -> None:
        """A note in a corner of the page."""
        self.client.add_notification(
            title,
            text,
            color="red" if is_error else "green",
            auto_close_seconds=20.0 if is_error else 8.0,
        )

    def move_to(self, pose: Float[Tensor, "3 4"], fov: float) -> None:
        """Look from a pose in scene units; `fov` is vertical, in degrees."""
        camera, place = self.client.camera, pose[:, 3].double()
        ahead = pose[:, 2].double()
        # The page turns about a point ahead, level with the middle of the scene's box.
        distance = max(float((0.5 - place) @ ahead), 0.2)
        with self.client.atomic():
            camera.position = place.numpy()
            camera.wxyz = np.array(quaternion_of(pose))
            camera.look_at = (place + distance * ahead).numpy()
            camera.fov = math.radians(self._clipped(fov))
        self.fov.value = self._clipped(fov)  # type: ignore[misc]

    def look_from(self, view: View) -> None:
        """Look from where a photograph was taken."""
        self.move_to(view.pose, vertical_fov(view.camera))

    def _moved(self) -> None:
        camera = self.client.camera
        numbers = [*camera.wxyz, *camera.position, camera.fov]
        size = camera.image_width, camera.image_height
        if min(size) < 1 or not np.isfinite(numbers).all() or not 0 < camera.fov < math.pi:
            return  # a page that is being laid out, or has gone wrong
        w, x, y, z, *place = map(float, numbers[:7])
        pose = pose_of((w, x, y, z), (place[0], place[1], place[2]))
        eye = Eye(pose, math.degrees(camera.fov), *size)
        last = self.visitor.eye
        same = last is not None and replace(last, pose=eye.pose) == eye
        if same and last is not None and torch.equal(last.pose, eye.pose):
            return
        self.visitor.move(eye, self.loop.clock())
        self.fov.value = self._clipped(eye.fov)  # type: ignore[misc]

    def _wish(self) -> None:
        red, green, blue = (channel / 255 for channel in self.background.value)
        show = self.shows.value
        self.blend.visible = show == "blend"
        self.visitor.wish(
            replace(
                self.visitor.look,
                show=show,
                background=(red, green, blue),
                blend=self.blend.value,
                longest=int(self.longest.value),
            )
        )

    def _zoom(self) -> None:
        eye = self.visitor.eye
        if eye is None or self.fov.value != self._clipped(eye.fov):  # else it only tells
            self.client.camera.fov = math.radians(self.fov.value)
            self._moved()

    def _go_to_nearest(self) -> None:
        if self.visitor.eye is not None:
            self.look_from(nearest_view(self.visitor.eye, self.loop.subject.views))

    @staticmethod
    def _clipped(fov: float) -> float:
        return min(max(round(fov, 1), _SMALLEST_FOV), _LARGEST_FOV)


class Clients:
    """All pages that are open, by their number."""

    def __init__(self, server: viser.ViserServer, loop: RenderLoop, post: Post) -> None:
        self.server, self.loop, self.post = server, loop, post
        self.pages: dict[int, ClientPage] = {}
        server.on_client_connect(lambda client: post(lambda: self._welcome(client)))
        server.on_client_disconnect(lambda client: post(lambda: self._leave(client.client_id)))

    def page(self, number: int | None) -> ClientPage | None:
        """A page, unless it is closed by now."""
        return None if number is None else self.pages.get(number)

    def tell(self, title: str, text: str, is_error: bool = False) -> None:
        """Tell all pages."""
        for page in self.pages.values():
            page.tell(title, text, is_error)

    def _welcome(self, client: viser.ClientHandle) -> None:
        if client.client_id not in self.server.get_clients():
            return  # it has left already
        page = ClientPage(client, self.loop, self.post)
        self.pages[client.client_id] = page
        self.loop.visitors[client.client_id] = page.visitor

    def _leave(self, number: int) -> None:
        self.pages.pop(number, None)
        self.loop.visitors.pop(number, None)

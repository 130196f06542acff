"""What stands in the scene: cameras with their photographs, the scene's box, a box to crop to."""

from functools import partial
from math import radians

import numpy as np
import torch
import viser
from jaxtyping import Float

from orefield.rendering.pixels import to_pixels
from orefield.scenes.scene import Scene, View
from orefield.viewer.clients import Clients, Post
from orefield.viewer.coordinates import quaternion_of, vertical_fov
from orefield.viewer.layers import photograph
from orefield.viewer.render_loop import Corner, RenderLoop

_THUMBNAIL = 96
"""Pixels on the longer side of a photograph in the scene."""
_MOST_CAMERAS = 150
_SIZE = 0.05
"""Of a camera, in scene units."""
_TRAIN, _TEST = (179, 84, 30), (47, 111, 143)
_BOX, _CROP = (130, 130, 130), (230, 160, 20)
_CORNERS: tuple[Corner, Corner] = ((0.1, 0.1, 0.1), (0.9, 0.9, 0.9))


class ScenePanel:
    """Shared by all pages."""

    def __init__(
        self,
        server: viser.ViserServer,
        scene: Scene,
        loop: RenderLoop,
        clients: Clients,
        post: Post,
    ) -> None:
        self.server, self.loop, self.clients = server, loop, clients
        gui = server.gui
        with gui.add_folder("Scene", order=3):
            self.cameras = gui.add_checkbox("cameras", True, hint="click one to look from there")
            self.box = gui.add_checkbox("scene box", True)
            self.crop = gui.add_checkbox("crop box", False, hint="drag its two corners")
        self.frusta = [
            *self._frusta("train", scene.train, _TRAIN, post),
            *self._frusta("test", scene.test, _TEST, post),
        ]
        low, high = np.zeros(3), np.ones(3)
        self.box_lines = server.scene.add_line_segments(
            "/box", _edges(low, high), _BOX, thickness=1.5, thickness_units="screen"
        )
        self.crop_lines = server.scene.add_line_segments(
            "/crop",
            _edges(*map(np.array, _CORNERS)),
            _CROP,
            thickness=2.5,
            thickness_units="screen",
            visible=False,
        )
        self.handles = [
            server.scene.add_transform_controls(
                f"/crop_corner_{i}",
                scale=0.25,
                disable_rotations=True,
                depth_test=False,
                position=corner,
                visible=False,
            )
            for i, corner in enumerate(_CORNERS)
        ]
        for control in (self.cameras, self.box, self.crop):
            control.on_update(lambda _: post(self._changed))
        for handle in self.handles:
            handle.on_update(lambda _: post(self._changed))

    def corners(self) -> tuple[Corner, Corner] | None:
        """Two opposite corners of the crop box in scene units, in any order; None without one."""
        if not self.crop.value:
            return None
        one, other = (tuple(map(float, handle.position)) for handle in self.handles)
        return (one[0], one[1], one[2]), (other[0], other[1], other[2])

    def _changed(self) -> None:
        corners = self.corners()
        for frustum in self.frusta:
            frustum.visible = self.cameras.value
        self.box_lines.visible = self.box.value
        self.crop_lines.visible = corners is not None
        for handle in self.handles:
            handle.visible = corners is not None
        if corners is not None:
            self.crop_lines.points = _edges(*map(np.array, corners))
        if corners != self.loop.corners:
            self.loop.crop(corners)

    def _frusta(
        self, kind: str, views: tuple[View, ...], color: tuple[int, int, int], post: Post
    ) -> list[viser.CameraFrustumHandle]:
        frusta = []
        white = torch.ones(3)
        for number, view in enumerate(views[:: -(-len(views) // _MOST_CAMERAS)] if views else ()):
            camera, place = view.camera, view.pose[:, 3].double()
            frustum = self.server.scene.add_camera_frustum(
                f"/cameras/{kind}/{number}",
                radians(vertical_fov(camera)),
                camera.width / camera.fx / (camera.height / camera.fy),
                scale=_SIZE,
                thickness=1.5,
                thickness_units="screen",
                color=color,
                image=to_pixels(photograph(view, white, _THUMBNAIL)),
                format="jpeg",
                wxyz=quaternion_of(view.pose),
                position=place.numpy(),
                cast_shadow=False,
                receive_shadow=False,
            )
            frustum.on_click(partial(self._clicked, view, post))
            frusta.append(frustum)
        return frusta

    def _clicked(self, view: View, post: Post, event: viser.SceneNodePointerEvent) -> None:
        def look_from() -> None:
            page = self.clients.page(event.client_id)
            if page is not None:
                page.look_from(view)

        post(look_from)


def _edges(
    low: Float[np.ndarray, " 3"], high: Float[np.ndarray, " 3"]
) -> Float[np.ndarray, "12 2 3"]:
    """The twelve edges of a box."""
    corners = np.array([[x, y, z] for x in (0, 1) for y in (0, 1) for z in (0, 1)])
    pairs = [
        (i, j) for i in range(8) for j in range(i) if np.abs(corners[i] - corners[j]).sum() == 1
    ]
    edges: Float[np.ndarray, "12 2 3"] = (low + corners * (high - low))[np.array(pairs)]
    return edges

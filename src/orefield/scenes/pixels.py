"""All training pixels in one block of bytes, and random batches of them with their rays.

Every training step draws here, so whatever can be computed once per scene is: a matrix per view
takes a pixel straight to its direction, and a distorting lens has a table of undistorted pixels.
"""

from collections.abc import Sequence
from itertools import accumulate

import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from orefield.cameras import Camera, pixel_centres, pixel_directions, undistort
from orefield.scenes.scene import View
from orefield.types import Rays

TABLE_BYTES = 64 * 2**20
"""Most memory spent on undistorted pixels; a shared camera of half a megapixel needs 4 MB."""


class PixelBank:
    """Draws training rays and their colours uniformly over all pixels of all views."""

    def __init__(self, views: Sequence[View], device: str | torch.device = "cpu") -> None:
        """Lay out the pixels of `views`, at least one (ValueError), in memory of `device`."""
        if not views:
            raise ValueError("a pixel bank needs at least one view")
        cameras = [view.camera for view in views]
        sizes = [camera.width * camera.height for camera in cameras]
        # One 32-bit word per pixel, so that a random read touches one address.
        self._words = _block([view.image for view in views]).to(device).view(torch.int32)[:, 0]
        self._starts = torch.tensor([0, *accumulate(sizes)][:-1], device=device)
        self._widths = torch.tensor([camera.width for camera in cameras], device=device)
        shapes = {(camera.width, camera.height) for camera in cameras}
        self._shape = shapes.pop() if len(shapes) == 1 else None
        distorted = any(camera.distorted for camera in cameras)
        self._lens = _Lens(cameras, self._starts) if distorted else None
        # A row per view: three columns that take (x, y, 1) to a direction, then the position.
        poses = torch.stack([view.pose for view in views])
        if self._lens is None:
            turns = poses[:, :, :3] @ _inverse_intrinsics(cameras)
            poses = torch.cat((turns, poses[:, :, 3:]), dim=2)
        self._columns = poses.transpose(1, 2).reshape(-1, 12).to(device)

    def __len__(self) -> int:
        """Number of pixels."""
        return self._words.shape[0]

    def sample(self, n: int, generator: torch.Generator) -> tuple[Rays, Float[Tensor, "n 4"]]:
        """Draw `n` pixels with replacement.

        Returns the rays through their centres, in scene units, and their RGBA in [0, 1] with
        straight alpha. The generator lives on the bank's device.
        """
        pixel = torch.randint(len(self), (n,), generator=generator, device=self._words.device)
        view, x, y = self._locate(pixel)
        if self._lens is not None:
            x, y = self._lens.plane(pixel, view, x, y)
        columns = self._columns.index_select(0, view)
        directions = columns[:, 0:3] * x[:, None] + columns[:, 3:6] * y[:, None] + columns[:, 6:9]
        directions /= (directions * directions).sum(1, keepdim=True).sqrt()
        rgba = self._words.index_select(0, pixel)[:, None].view(torch.uint8).float().mul_(1 / 255)
        return Rays(columns[:, 9:].contiguous(), directions), rgba

    def _locate(
        self, pixel: Int[Tensor, " n"]
    ) -> tuple[Int[Tensor, " n"], Float[Tensor, " n"], Float[Tensor, " n"]]:
        """View, and position (x, y) of the centre within it, of each pixel of the bank."""
        if self._shape:  # dividing is three times as fast as searching
            width, height = self._shape
            line = pixel // width
            view = line // height
            return view, pixel - line * width + 0.5, line - view * height + 0.5
        view = torch.bucketize(pixel, self._starts, right=True) - 1
        within, widths = pixel - self._starts[view], self._widths[view]
        line = within // widths
        return view, within - line * widths + 0.5, line + 0.5


class _Lens:
    """Plane coordinates of pixels behind distorting lenses, from a table unless that were large."""

    def __init__(self, cameras: Sequence[Camera], starts: Int[Tensor, " views"]) -> None:
        device = starts.device
        different = list(dict.fromkeys(cameras))
        sizes = [camera.width * camera.height for camera in different]
        self._table: Float[Tensor, "pixels 2"] | None = None
        if 8 * sum(sizes) <= TABLE_BYTES:
            self._table = torch.cat([_undistorted(camera) for camera in different]).to(device)
        tables = dict(zip(different, accumulate(sizes, initial=0), strict=False))
        self._shift = torch.tensor([tables[camera] for camera in cameras], device=device) - starts
        self._focal = torch.tensor([(camera.fx, camera.fy) for camera in cameras], device=device)
        self._centre = torch.tensor([(camera.cx, camera.cy) for camera in cameras], device=device)
        self._coefficients = torch.tensor([camera.distortion for camera in cameras], device=device)

    def plane(
        self,
        pixel: Int[Tensor, " n"],
        view: Int[Tensor, " n"],
        x: Float[Tensor, " n"],
        y: Float[Tensor, " n"],
    ) -> tuple[Float[Tensor, " n"], Float[Tensor, " n"]]:
        """Plane coordinates of pixels of the bank, which lie at (x, y) in their view."""
        if self._table is not None:
            plane = self._table.index_select(0, pixel + self._shift.index_select(0, view))
        else:
            bent = (torch.stack((x, y), dim=1) - self._centre[view]) / self._focal[view]
            plane = undistort(bent, self._coefficients[view])
        return plane[:, 0], plane[:, 1]


def _undistorted(camera: Camera) -> Float[Tensor, "pixels 2"]:
    directions = pixel_directions(camera, pixel_centres(camera).double())
    return (directions[:, :2] / directions[:, 2:]).float()


def _inverse_intrinsics(cameras: Sequence[Camera]) -> Float[Tensor, "views 3 3"]:
    rows = [
        ((1 / c.fx, 0.0, -c.cx / c.fx), (0.0, 1 / c.fy, -c.cy / c.fy), (0.0, 0.0, 1.0))
        for c in cameras
    ]
    return torch.tensor(rows)


def _block(images: Sequence[UInt8[Tensor, "_ _ channels"]]) -> UInt8[Tensor, "pixels 4"]:
    """All pixels end to end as RGBA; not copied if they lie so, as those of an opened scene do."""
    start = images[0].data_ptr()
    for image in images:
        if image.shape[2] != 4 or not image.is_contiguous() or image.data_ptr() != start:
            return torch.cat([_rgba(image).reshape(-1, 4) for image in images])
        start += image.numel()
    pixels = sum(image.numel() for image in images) // 4
    return images[0].as_strided((pixels, 4), (4, 1))


def _rgba(image: UInt8[Tensor, "height width channels"]) -> UInt8[Tensor, "height width 4"]:
    if image.shape[2] == 4:
        return image
    return torch.cat((image, torch.full_like(image[:, :, :1], 255)), dim=2)

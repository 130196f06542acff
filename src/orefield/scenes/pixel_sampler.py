"""All training pixels in one block of bytes, and random batches of them with their rays.

Every training step samples here, so whatever can be is computed once per scene: for pinhole cameras
one matrix per view takes a pixel to its direction, for other lenses there is a table of directions,
and an index leaves out pixels that masks ignore.
"""

from collections.abc import Sequence
from itertools import accumulate
from typing import NamedTuple

import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from orefield.cameras import Camera, pixel_centers, pixel_directions
from orefield.cameras.lenses import to_directions
from orefield.scenes.scene import View
from orefield.types import Rays

TABLE_BYTES = 64 * 2**20
"""Most memory spent on directions; a shared camera of half a megapixel needs 6 MB."""
TILE = 8
"""Side of a tile in pixels."""


class PixelBatch(NamedTuple):
    """Pixels and the rays through their centers, in scene units."""

    rays: Rays
    rgba: Float[Tensor, "n 4"]
    """In [0, 1], straight alpha."""
    view: Int[Tensor, " n"]
    """Index of the view each pixel belongs to."""
    depth: Float[Tensor, " n"] | None
    """Distance along the ray, 0 where unknown; None if no view has depth."""


class PixelSampler:
    """Samples training rays and their colors uniformly over all valid pixels of all views.

    A pixel's number is its position among the pixels of all views, which lie end to end.
    """

    def __init__(self, views: Sequence[View], device: str | torch.device = "cpu") -> None:
        """Move the pixels of `views` to `device`.

        Raises ValueError for no view, and for views without a valid pixel.
        """
        if not views:
            raise ValueError("a pixel sampler needs at least one view")
        cameras = [view.camera for view in views]
        sizes = [camera.width * camera.height for camera in cameras]
        # RGBA as one 32-bit word, so that a random read touches one address.
        self._words = _block([view.image for view in views]).to(device).view(torch.int32)[:, 0]
        self._starts = torch.tensor([0, *accumulate(sizes)][:-1], device=device)
        self._widths = torch.tensor([camera.width for camera in cameras], device=device)
        shapes = {(camera.width, camera.height) for camera in cameras}
        self._shape = shapes.pop() if len(shapes) == 1 else None
        self._valid = _valid_pixels(views, sizes, device)
        self._depths = _depths(views, device)
        across = [(-(-camera.width // TILE), -(-camera.height // TILE)) for camera in cameras]
        self._tiles = torch.tensor([0, *accumulate(x * y for x, y in across)], device=device)
        self._tiles_across = torch.tensor([x for x, _ in across], device=device)
        self._heights = torch.tensor([camera.height for camera in cameras], device=device)
        self.tiles = int(self._tiles[-1])
        """Number of tiles of all views together."""
        straight = all(camera.straight for camera in cameras)
        self._lenses = None if straight else _Lenses(cameras, self._starts)
        # One row per view: the three columns of the matrix that takes (x, y, 1), or a direction in
        # camera axes, to a direction in the scene; then the position.
        poses = torch.stack([view.pose for view in views])
        if straight:
            turns = poses[:, :, :3] @ _inverse_intrinsics(cameras)
            poses = torch.cat((turns, poses[:, :, 3:]), dim=2)
        self._columns = poses.transpose(1, 2).reshape(-1, 12).to(device)

    def __len__(self) -> int:
        """Number of valid pixels."""
        return self._words.shape[0] if self._valid is None else self._valid.shape[0]

    def sample(self, n: int, generator: torch.Generator) -> PixelBatch:
        """`n` random pixels, with replacement. The generator must be on the sampler's device."""
        return self.fetch(self._anywhere(n, generator))

    def in_tiles(self, tile: Int[Tensor, " n"], generator: torch.Generator) -> Int[Tensor, " n"]:
        """The number of a random pixel in each tile.

        Pixels past the edge of an image are replaced by those at it; pixels that masks ignore, by
        random pixels of all views.
        """
        view = torch.bucketize(tile, self._tiles, right=True) - 1
        within, across = tile - self._tiles[view], self._tiles_across[view]
        offset = torch.randint(TILE * TILE, tile.shape, generator=generator, device=tile.device)
        x = torch.minimum(within % across * TILE + offset % TILE, self._widths[view] - 1)
        y = torch.minimum(within // across * TILE + offset // TILE, self._heights[view] - 1)
        pixel = self._starts[view] + y * self._widths[view] + x
        if self._valid is None:
            return pixel
        where = torch.searchsorted(self._valid, pixel.to(self._valid.dtype))
        ignored = self._valid[where.clamp(max=len(self._valid) - 1)] != pixel
        return torch.where(ignored, self._anywhere(len(pixel), generator), pixel)

    def every(self) -> PixelBatch:
        """All valid pixels, in order."""
        pixel = torch.arange(len(self), device=self._words.device)
        return self.fetch(pixel if self._valid is None else self._valid.long())

    def _anywhere(self, n: int, generator: torch.Generator) -> Int[Tensor, " n"]:
        pixel = torch.randint(len(self), (n,), generator=generator, device=self._words.device)
        return pixel if self._valid is None else self._valid.index_select(0, pixel).long()

    def fetch(self, pixel: Int[Tensor, " n"]) -> PixelBatch:
        """The pixels with these numbers."""
        view, x, y = self._locate(pixel)
        columns = self._columns.index_select(0, view)
        ahead = columns[:, 6:9]
        if self._lenses is not None:
            x, y, z = self._lenses.directions(pixel, view, x, y).unbind(1)
            ahead = ahead * z[:, None]
        directions = columns[:, 0:3] * x[:, None] + columns[:, 3:6] * y[:, None] + ahead
        directions /= (directions * directions).sum(1, keepdim=True).sqrt()
        rgba = self._words.index_select(0, pixel)[:, None].view(torch.uint8).float().mul_(1 / 255)
        depth = None if self._depths is None else self._depths.index_select(0, pixel)
        return PixelBatch(Rays(columns[:, 9:].contiguous(), directions), rgba, view, depth)

    def _locate(
        self, pixel: Int[Tensor, " n"]
    ) -> tuple[Int[Tensor, " n"], Float[Tensor, " n"], Float[Tensor, " n"]]:
        """View of each pixel, and position (x, y) of its center within the view."""
        if self._shape:  # dividing is three times as fast as searching
            width, height = self._shape
            line = pixel // width
            view = line // height
            return view, pixel - line * width + 0.5, line - view * height + 0.5
        view = torch.bucketize(pixel, self._starts, right=True) - 1
        within, widths = pixel - self._starts[view], self._widths[view]
        line = within // widths
        return view, within - line * widths + 0.5, line + 0.5


class _Lenses:
    """Directions of pixels in camera axes, from a table unless it would be too large."""

    def __init__(self, cameras: Sequence[Camera], starts: Int[Tensor, " views"]) -> None:
        device = starts.device
        different = list(dict.fromkeys(cameras))
        sizes = [camera.width * camera.height for camera in different]
        self._table: Float[Tensor, "pixels 3"] | None = None
        if 12 * sum(sizes) <= TABLE_BYTES:
            self._table = torch.cat([_directions(camera) for camera in different]).to(device)
        tables = dict(zip(different, accumulate(sizes, initial=0), strict=False))
        self._shift = torch.tensor([tables[camera] for camera in cameras], device=device) - starts
        self._focal = torch.tensor([(camera.fx, camera.fy) for camera in cameras], device=device)
        self._center = torch.tensor([(camera.cx, camera.cy) for camera in cameras], device=device)
        self._coefficients = torch.tensor([c.coefficients for c in cameras], device=device)
        self._kinds = sorted({camera.lens for camera in cameras})
        kinds = [self._kinds.index(camera.lens) for camera in cameras]
        self._kind = torch.tensor(kinds, device=device)

    def directions(
        self,
        pixel: Int[Tensor, " n"],
        view: Int[Tensor, " n"],
        x: Float[Tensor, " n"],
        y: Float[Tensor, " n"],
    ) -> Float[Tensor, "n 3"]:
        """Unit directions of pixels by number, which lie at (x, y) in their view."""
        if self._table is not None:
            return self._table.index_select(0, pixel + self._shift.index_select(0, view))
        plane = (torch.stack((x, y), dim=1) - self._center[view]) / self._focal[view]
        found = torch.zeros((len(plane), 3), device=plane.device)
        for number, kind in enumerate(self._kinds):
            rows = (self._kind[view] == number).nonzero()[:, 0]
            coefficients = self._coefficients[view[rows]]
            found[rows] = to_directions(kind, plane[rows], coefficients).float()
        return found


def _directions(camera: Camera) -> Float[Tensor, "pixels 3"]:
    return pixel_directions(camera, pixel_centers(camera).double()).float()


def _valid_pixels(
    views: Sequence[View], sizes: Sequence[int], device: str | torch.device
) -> Int[Tensor, " valid"] | None:
    """Numbers of the pixels that no mask ignores; None if that is all of them."""
    if all(view.valid is None for view in views):
        return None
    narrow = torch.int32 if sum(sizes) < 2**31 else torch.int64
    numbers = []
    for view, size, start in zip(views, sizes, accumulate(sizes, initial=0), strict=False):
        valid = torch.ones(size, dtype=torch.bool) if view.valid is None else view.valid.view(-1)
        numbers.append((valid.nonzero()[:, 0] + start).to(narrow))
    index = torch.cat(numbers).to(device)
    if not len(index):
        raise ValueError("a pixel sampler needs at least one valid pixel")
    return index


def _depths(views: Sequence[View], device: str | torch.device) -> Float[Tensor, " pixels"] | None:
    """Measured distances of all pixels, 0 where unknown; None if no view has depth."""
    if all(view.depth is None for view in views):
        return None
    sizes = [(view.camera.height, view.camera.width) for view in views]
    depths = [
        torch.zeros(size) if view.depth is None else view.depth
        for size, view in zip(sizes, views, strict=True)
    ]
    return torch.cat([depth.float().reshape(-1) for depth in depths]).to(device)


def _inverse_intrinsics(cameras: Sequence[Camera]) -> Float[Tensor, "views 3 3"]:
    rows = [
        ((1 / c.fx, 0.0, -c.cx / c.fx), (0.0, 1 / c.fy, -c.cy / c.fy), (0.0, 0.0, 1.0))
        for c in cameras
    ]
    return torch.tensor(rows)


def _block(images: Sequence[UInt8[Tensor, "_ _ channels"]]) -> UInt8[Tensor, "pixels 4"]:
    """All pixels end to end as RGBA; no copy if they lie so already, as those of a Scene do."""
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

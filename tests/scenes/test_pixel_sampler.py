from dataclasses import replace

import pytest
import torch

from orefield.cameras import Camera, panorama, view_rays
from orefield.scenes import PixelSampler, View, pixel_sampler

FOX = (0.0578421, -0.0805099, -0.000980296, 0.00015575)


def views(cameras, channels=4):
    """Views in different places whose red, green and blue tell view, column and row."""
    generator = torch.Generator().manual_seed(0)
    made = []
    for i, camera in enumerate(cameras):
        rotation, _ = torch.linalg.qr(torch.randn((3, 3), generator=generator))
        pose = torch.cat((rotation, torch.randn((3, 1), generator=generator)), dim=1)
        image = torch.full((camera.height, camera.width, channels), i, dtype=torch.uint8)
        image[:, :, 1] = torch.arange(camera.width)
        image[:, :, 2] = torch.arange(camera.height)[:, None]
        if channels == 4:
            image[:, :, 3] = 7 * i
        made.append(View(str(i), camera, pose, image))
    return made


STRAIGHT = Camera(9, 7, 8.0, 8.5, 4.0, 3.0)
CAPTURES = {
    "one camera": [STRAIGHT] * 3,
    "sizes": [STRAIGHT, Camera(5, 11, 9.0, 9.0, 2.5, 5.5), STRAIGHT],
    "a lens": [Camera(9, 7, 8.0, 8.5, 4.0, 3.0, FOX)] * 3,
    "lenses": [
        Camera(5, 11, 9.0, 9.0, 2.5, 5.5, FOX),
        STRAIGHT,
        Camera(9, 7, 9.0, 9.0, 4.5, 3.5, FOX),
    ],
    "wide lenses": [
        Camera(9, 7, 3.0, 3.1, 4.0, 3.0, (0.02, 0.01, 0.0, 0.0), "fisheye"),
        panorama(8, 4),
        STRAIGHT,
        Camera(9, 7, 8.0, 8.5, 4.0, 3.0, (*FOX, 0.02)),
    ],
}


@pytest.mark.parametrize("capture", CAPTURES)
@pytest.mark.parametrize("table", [True, False])
def test_a_sampled_ray_and_its_color_belong_to_the_same_pixel(capture, table, monkeypatch):
    if not table:
        monkeypatch.setattr(pixel_sampler, "TABLE_BYTES", 0)
    made = views(CAPTURES[capture])
    rays, rgba, *_ = PixelSampler(made).sample(3000, torch.Generator().manual_seed(1))
    rgba = (rgba * 255).round().long()
    for i, view in enumerate(made):
        chosen = rgba[:, 0] == i
        pixel = rgba[chosen, 2] * view.camera.width + rgba[chosen, 1]
        assert len(pixel.unique()) == view.camera.width * view.camera.height  # none is left out
        expected = view_rays(view.camera, view.pose)
        torch.testing.assert_close(
            rays.directions[chosen], expected.directions[pixel], atol=3e-6, rtol=0
        )
        torch.testing.assert_close(rays.origins[chosen], expected.origins[pixel])
        assert (rgba[chosen, 3] == 7 * i).all()
    assert rays.directions.is_contiguous()
    assert rays.origins.is_contiguous()


def test_ignored_pixels_are_never_sampled_and_all_others_are():
    made = views(CAPTURES["lenses"])
    valid = torch.zeros((11, 5), dtype=torch.bool)
    valid[2:4, 1] = True
    made[0] = replace(made[0], valid=valid)
    sampler = PixelSampler(made)
    assert len(sampler) == 2 + 63 + 63
    rays, rgba, *_ = sampler.sample(4000, torch.Generator().manual_seed(1))
    rgba = (rgba * 255).round().long()
    first = rgba[:, 0] == 0
    assert set(map(tuple, rgba[first, 1:3].tolist())) == {(1, 2), (1, 3)}
    expected = view_rays(made[0].camera, made[0].pose).directions[rgba[first, 2] * 5 + 1]
    torch.testing.assert_close(rays.directions[first], expected, atol=3e-6, rtol=0)
    assert len(rgba[~first].unique(dim=0)) == 2 * 63
    with pytest.raises(ValueError, match="at least one valid pixel"):
        PixelSampler([replace(made[0], valid=torch.zeros_like(valid))])


def test_every_pixel_is_sampled_equally_often():
    sampler = PixelSampler(views(CAPTURES["sizes"]))
    total, draws = 9 * 7 + 5 * 11 + 9 * 7, 200_000
    assert len(sampler) == total
    _, rgba, *_ = sampler.sample(draws, torch.Generator().manual_seed(2))
    key = ((rgba[:, :3] * 255).round().long() * torch.tensor([10_000, 100, 1])).sum(1)
    counts = key.unique(return_counts=True)[1].double()
    expected = draws / total
    chi_squared = float((counts - expected).square().sum() / expected)
    # Mean total - 1 and variance 2 (total - 1): within four standard deviations.
    assert abs(chi_squared - (total - 1)) < 4 * (2 * (total - 1)) ** 0.5


def test_a_generator_repeats_its_samples():
    sampler = PixelSampler(views(CAPTURES["a lens"]))
    (one, red, *_), (two, blue, *_) = (
        sampler.sample(50, torch.Generator().manual_seed(3)) for _ in range(2)
    )
    assert torch.equal(one.directions, two.directions)
    assert torch.equal(red, blue)


def test_opaque_photographs_have_alpha_one():
    made = views(CAPTURES["one camera"], channels=3)
    _, rgba, *_ = PixelSampler(made).sample(100, torch.Generator().manual_seed(0))
    assert (rgba[:, 3] == 1).all()


def test_images_that_lie_end_to_end_are_not_copied():
    block = torch.zeros((3, 7, 9, 4), dtype=torch.uint8)
    made = [View(str(i), STRAIGHT, torch.eye(4)[:3], block[i]) for i in range(3)]
    sampler = PixelSampler(made)
    block[:] = 255  # visible to the sampler only if it shares the memory
    assert (sampler.sample(50, torch.Generator().manual_seed(0))[1] == 1).all()
    shuffled = PixelSampler([made[1], made[0]])
    block[:] = 0
    assert (shuffled.sample(50, torch.Generator().manual_seed(0))[1] == 1).all()


def test_a_sampler_without_views_is_refused():
    with pytest.raises(ValueError, match="at least one view"):
        PixelSampler([])


@pytest.mark.parametrize("ignored", [False, True])
def test_a_pixel_of_a_tile_lies_in_it_or_is_another_that_counts(ignored):
    """Also in tiles that stick out of the picture, and where the very last pixels are ignored."""
    made = views(CAPTURES["lenses"])
    valid = torch.ones((made[-1].camera.height, made[-1].camera.width), dtype=torch.bool)
    valid[-3:] = not ignored
    made[-1] = replace(made[-1], valid=valid if ignored else None)
    sampler = PixelSampler(made)
    tile = torch.arange(sampler.tiles).repeat_interleave(1500)
    pixel = sampler.in_tiles(tile, torch.Generator().manual_seed(0))
    start = 0
    allowed = []
    for view, mask in zip(made, [None, None, valid], strict=True):
        height, width = view.camera.height, view.camera.width
        across = -(-width // pixel_sampler.TILE)
        y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
        numbers = start + y * width + x
        owner = len(allowed) + y // pixel_sampler.TILE * across + x // pixel_sampler.TILE
        for number in range(len(allowed), int(owner.max()) + 1):
            inside = owner == number if mask is None else (owner == number) & mask
            allowed.append(set(numbers[inside].tolist()))
        start += height * width
    every = set().union(*allowed)
    assert len(allowed) == sampler.tiles
    for number, own in enumerate(allowed):
        found = set(pixel[tile == number].tolist())
        assert found <= every
        assert own <= found  # all of a tile's pixels are drawn
        assert ignored or found == own


def test_every_pixel_is_each_valid_one_once():
    made = views(CAPTURES["lenses"])
    whole = PixelSampler(made).every()
    assert len(whole.rays) == sum(v.camera.width * v.camera.height for v in made)
    pixels = torch.cat([v.image.flatten(0, 1) for v in made])
    assert torch.equal((whole.rgba * 255).round().to(torch.uint8), pixels)

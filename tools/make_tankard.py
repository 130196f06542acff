"""Make the embedded scene `tankard` from the photographs of github.com/vork/maryRose.

    python tools/make_tankard.py SOURCE_FOLDER [OUT_FOLDER]

SOURCE_FOLDER holds `poses_bounds.npy` (LLFF), `images_8/*.png` and `masks_8/*.png`, in one order.
OUT_FOLDER, by default the package's data folder, gets `transforms.json` and one RGBA WebP per view.
"""

import argparse
import json
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float, UInt8
from PIL import Image

DATA = Path(__file__).parent.parent / "src/orefield/data/tankard"

LAST_VIEW = "IMG_9709"
"""Then the tankard was turned over and its lid swung to another angle: another scene."""

# Twins would put nearly the same picture into training and test.
LEFT_OUT = {
    "IMG_9669": "exposed differently",
    "IMG_9670": "the viewpoint of IMG_9692",
    "IMG_9683": "the mask cuts out the inside of the tankard",
    "IMG_9693": "the viewpoint of IMG_9671",
    "IMG_9694": "the viewpoint of IMG_9707",
    "IMG_9695": "the mask fills the hole in the handle",
    "IMG_9696": "the mask fills the hole in the handle",
}

SHRINK = 2
PAPER = 190
"""Next to a mask's edge, every channel above this is the white paper behind the tankard."""
RIM = 6
"""How far in from its edge a mask may be trimmed, in source pixels."""


def trimmed(
    mask: Bool[np.ndarray, "h w"], image: UInt8[np.ndarray, "h w 3"]
) -> Bool[np.ndarray, "h w"]:
    """The hand-drawn mask without the strips of white paper along its edge."""
    paper = image.min(axis=2) > PAPER
    for _ in range(RIM):
        out = np.pad(~mask, 1)
        near = out[2:, 1:-1] | out[:-2, 1:-1] | out[1:-1, 2:] | out[1:-1, :-2]
        mask = mask & ~(near & paper)
    return mask


def cut_out(
    image: UInt8[np.ndarray, "h w 3"], mask: Bool[np.ndarray, "h w"]
) -> UInt8[np.ndarray, "h2 w2 4"]:
    """Straight-alpha RGBA, averaged over SHRINK x SHRINK pixels in premultiplied color."""
    weight = trimmed(mask, image).astype(np.float64)
    height, width = weight.shape[0] // SHRINK, weight.shape[1] // SHRINK
    cells = np.concatenate([image * weight[..., None], weight[..., None]], axis=2)
    mean = cells.reshape(height, SHRINK, width, SHRINK, 4).mean(axis=(1, 3))
    color = mean[..., :3] / np.maximum(mean[..., 3:], 1e-9)
    rgba = np.concatenate([color, 255 * mean[..., 3:]], axis=2)
    return np.asarray(np.rint(rgba), dtype=np.uint8)


def opengl(llff: Float[np.ndarray, "3 5"]) -> list[list[float]]:
    """Camera-to-world in OpenGL axes; LLFF's columns are down, right, back, position, (h, w, f)."""
    down, right, back, position = llff[:, :4].T
    pose = np.stack([right, -down, back, position], axis=1)
    return [[round(float(x), 8) for x in row] for row in pose] + [[0.0, 0.0, 0.0, 1.0]]


def main() -> None:
    """Read the source folder, write the scene."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("source", type=Path)
    parser.add_argument("out", type=Path, nargs="?", default=DATA)
    options = parser.parse_args()
    poses = np.load(options.source / "poses_bounds.npy")[:, :15].reshape(-1, 3, 5)
    images = sorted((options.source / "images_8").iterdir())
    masks = sorted((options.source / "masks_8").iterdir())
    (options.out / "images").mkdir(parents=True, exist_ok=True)

    frames = []
    for path, mask_path, pose in zip(images, masks, poses, strict=True):
        if path.stem > LAST_VIEW or path.stem in LEFT_OUT:
            continue
        rgba = cut_out(
            np.asarray(Image.open(path).convert("RGB")), np.asarray(Image.open(mask_path)) > 127
        )
        name = f"images/{path.stem}.webp"
        Image.fromarray(rgba).save(
            options.out / name, lossless=True, quality=75, method=3, exact=True
        )
        frames.append({"file_path": name, "transform_matrix": opengl(pose)})

    height, width = rgba.shape[:2]
    source_height, _, source_focal = poses[0, :, 4]
    focal = round(float(source_focal * height / source_height), 6)
    camera = {
        "w": width,
        "h": height,
        "fl_x": focal,
        "fl_y": focal,
        "cx": width / 2,
        "cy": height / 2,
    }
    text = json.dumps({**camera, "frames": frames}, indent=1)
    (options.out / "transforms.json").write_text(text + "\n")


if __name__ == "__main__":
    main()

"""Photograph, render and error side by side; contact sheets."""

from io import BytesIO
from pathlib import Path

from jaxtyping import Float
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from orefield.rendering.pixels import Pixels, color_mapped, to_pixels
from orefield.system.files import write_atomically

ERROR_GAIN = 4
"""Errors are shown this many times as strong."""
_BAR = 18
_GAP = 4
_PAPER, _INK = (255, 255, 255), (40, 40, 40)


def error_pixels(
    render: Float[Tensor, "height width 3"], truth: Float[Tensor, "height width 3"]
) -> Pixels:
    """Largest absolute error over the channels, amplified by `ERROR_GAIN`, dark to bright."""
    error = (render - truth).abs().amax(-1)
    return to_pixels(color_mapped("inferno", ERROR_GAIN * error))


def comparison(
    truth: Float[Tensor, "height width 3"],
    render: Float[Tensor, "height width 3"],
    name: str,
    psnr: float,
) -> Image.Image:
    """Photograph | render | error, labeled with the view's name and the render's PSNR in dB."""
    panels = [to_pixels(truth), to_pixels(render), error_pixels(render, truth)]
    labels = [name, f"render {psnr:.2f} dB", f"error x{ERROR_GAIN}"]
    height, width = panels[0].shape[:2]
    sheet = Image.new("RGB", (3 * width + 2 * _GAP, height + _BAR), _PAPER)
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(11)
    for column, (panel, label) in enumerate(zip(panels, labels, strict=True)):
        x = column * (width + _GAP)
        sheet.paste(Image.fromarray(panel), (x, _BAR))
        draw.text((x + 2, 2), _fitting(label, width, draw, font), fill=_INK, font=font)
    return sheet


def split_comparison(picture: Image.Image) -> tuple[Image.Image, Image.Image, Image.Image] | None:
    """The inverse of `comparison`: photograph, render, error; None where the sizes do not fit."""
    width, height = picture.width - 2 * _GAP, picture.height - _BAR
    if width < 3 or width % 3 or height < 1:
        return None
    width //= 3
    starts = [column * (width + _GAP) for column in range(3)]
    photograph, render, error = (
        picture.crop((x, _BAR, x + width, _BAR + height)).convert("RGB") for x in starts
    )
    return photograph, render, error


def contact_sheet(pictures: list[Image.Image], columns: int = 2) -> Image.Image:
    """Pictures in rows of `columns`, in cells as large as the largest, with thin gaps."""
    assert pictures
    width = max(picture.width for picture in pictures)
    height = max(picture.height for picture in pictures)
    rows = -(-len(pictures) // columns)
    size = (columns * (width + _GAP) - _GAP, rows * (height + _GAP) - _GAP)
    sheet = Image.new("RGB", size, _PAPER)
    for index, picture in enumerate(pictures):
        row, column = divmod(index, columns)
        sheet.paste(picture, (column * (width + _GAP), row * (height + _GAP)))
    return sheet


def save_picture(picture: Image.Image | Pixels, path: Path) -> None:
    """Write a PNG, making its folder; OSError names the file, and leaves an old one as it was."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = picture if isinstance(picture, Image.Image) else Image.fromarray(picture)
    data = BytesIO()
    image.save(data, "png")
    write_atomically(path, data.getvalue())


def _fitting(
    label: str,
    width: int,
    draw: ImageDraw.ImageDraw,
    font: ImageFont.FreeTypeFont | ImageFont.ImageFont,
) -> str:
    """The label, cut to the panel's width."""
    while label and draw.textlength(label, font=font) > width - 4:
        label = label[:-1]
    return label

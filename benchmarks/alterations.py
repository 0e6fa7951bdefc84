"""Ten kinds of copies found in data sets of skin images, for the benchmarks of the audit; all are saved as JPEG 90."""

import io

import numpy as np
from PIL import Image, ImageDraw, ImageEnhance, ImageFilter, ImageOps

QUARTERS = (Image.Transpose.ROTATE_90, Image.Transpose.ROTATE_180, Image.Transpose.ROTATE_270)


def jpeg(image, quality=90):
    file = io.BytesIO()
    image.save(file, "JPEG", quality=quality)
    return Image.open(file).convert("RGB")


def resized(image, draw):
    factor = draw.uniform(0.4, 2)
    return image.resize((round(image.width * factor), round(image.height * factor)), Image.Resampling.BICUBIC)


def tinted(image, draw):
    pixels = np.asarray(image) * draw.uniform(0.85, 1.15, 3)
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))


def cropped(image, draw):
    """95 % of each side, at a random place."""
    width, height = round(0.95 * image.width), round(0.95 * image.height)
    x, y = draw.integers(image.width - width + 1), draw.integers(image.height - height + 1)
    return image.crop((x, y, x + width, y + height))


def blurred_or_noisy(image, draw):
    if draw.random() < 0.5:
        return image.filter(ImageFilter.GaussianBlur(image.width / 133))
    pixels = np.asarray(image) + draw.normal(0, 8, (image.height, image.width, 3))
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))


def overlaid(image, draw):
    """Six dark hairs across the image, half a per cent of its width thick, or a ruler."""
    image = image.copy()
    pen = ImageDraw.Draw(image)
    thick = max(1, round(image.width / 200))
    if draw.random() < 0.5:
        for _ in range(6):
            a, b, c, d = draw.uniform(0, 1, (4, 2)) * [image.width, image.height]
            t = np.linspace(0, 1, 20)[:, None]
            curve = (1 - t) ** 3 * a + 3 * t * (1 - t) ** 2 * b + 3 * t**2 * (1 - t) * c + t**3 * d
            pen.line([tuple(point) for point in curve], fill=(40, 25, 20), width=thick)
        return image
    y = image.height * draw.uniform(0.85, 0.95)
    pen.line([(0, y), (image.width, y)], fill=(20, 20, 20), width=thick)
    for x in np.linspace(0, image.width, 25):
        pen.line([(x, y), (x, y + image.height / 20)], fill=(20, 20, 20), width=thick)
    return image


ALTERATIONS = {
    "resized, 0.4 to 2 times": resized,
    "JPEG 50": lambda image, draw: jpeg(image, 50),
    "flipped left to right": lambda image, draw: ImageOps.mirror(image),
    "flipped top to bottom": lambda image, draw: ImageOps.flip(image),
    "rotated by 90, 180 or 270 degrees": lambda image, draw: image.transpose(QUARTERS[draw.integers(3)]),
    "brightness -25 % or +25 %": lambda image, draw: ImageEnhance.Brightness(image).enhance(draw.choice([0.75, 1.25])),
    "each colour channel up to 15 % off": tinted,
    "cropped to 95 % of each side": cropped,
    "blurred, or noise of sd 8": blurred_or_noisy,
    "hairs or a ruler drawn over": overlaid,
}


def two_of_them(image, draw):
    """Two different alterations one after the other."""
    for k in draw.permutation(len(ALTERATIONS))[:2]:
        image = list(ALTERATIONS.values())[k](image, draw)
    return image

"""Convert images and arrays into the tensor that one input of a model takes."""

__all__ = ["InputConverter", "image_converter", "refuse_unused"]

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from quant.calibration.sources.data import Array, BadSample, InputSpec, printable
from quant.calibration.sources.decode import eight_bit
from quant.common.errors import InputError
from quant.preprocess.image_to_tensor import Preprocess

Shape = tuple[int | None, ...]


@dataclass(frozen=True, slots=True)
class InputConverter:
    """The converter of one input, with the preprocessing of images for it."""

    spec: InputSpec
    preprocess: Preprocess

    def image(self, image: Image.Image, place: str) -> Array:
        """Return the tensor of an "RGB" or "L" image in the input's own numbers.

        Raises:
            BadSample: The image cannot be resized.
            InputError: The tensor has not the shape that the input takes.
        """
        try:
            tensor = self.preprocess.apply(image)
        except ValueError as error:
            raise BadSample(str(error)) from error
        self.must_fit(tensor.shape, f"{place}: preprocessing")
        return tensor.astype(self.spec.dtype, copy=False)

    def sees_image(self, row: Array) -> bool:
        """Return whether an array without batch axis is an image, which the preprocessing is for."""
        return row.dtype == np.uint8 and len(self.spec.shape) == 4 and _is_picture(row.shape)

    def array(self, row: Array, place: str) -> Array:
        """Return an array without batch axis: uint8 images preprocessed, all else verbatim.

        uint8 `[H, W]` and `[H, W, C]` with C of 1, 3 or 4 are images if the input takes images.

        Raises:
            InputError: Its shape or its kind of numbers is not the input's.
        """
        if self.sees_image(row):
            picture = row[:, :, 0] if row.ndim == 3 and row.shape[2] == 1 else row
            return self.image(eight_bit(Image.fromarray(picture)), place)
        dtype = self.spec.dtype
        if row.dtype == np.uint8 != dtype and len(self.spec.shape) == 4:
            raise InputError(
                f"{printable(place)}: uint8 images are HxW or HxWxC, saw {_by(row.shape)}. "
                f"Move the channels last, or save the model's own input as {dtype}."
            )
        if not np.can_cast(row.dtype, dtype, "same_kind") or row.dtype.kind not in "biuf":
            raise InputError(
                f"{printable(place)}: input '{self.spec.name}' takes {dtype}, saw {row.dtype}. "
                f"Save the array as {dtype}."
            )
        fitting = self.spec.shape[1:]
        if not _fits(row.shape, fitting):
            advice = "Save rows of that shape."
            if row.ndim == 3 and _fits((row.shape[2], *row.shape[:2]), fitting):
                advice = "Move the channels first, or give uint8 images, which are preprocessed."
            raise InputError(
                f"{printable(place)}: input '{self.spec.name}' takes {_by(fitting)} without the "
                f"batch axis, saw {_by(row.shape)}. {advice}"
            )
        return np.array(row, dtype=dtype, order="C")

    def must_fit(self, shape: Shape, place: str) -> None:
        """Refuse a tensor of preprocessing whose known lengths are not those of the input.

        Raises:
            InputError: The message names the flag that mends it.
        """
        expected = self.spec.shape[1:]
        if _fits(shape, expected):
            return
        layout = self.preprocess.layout
        axis = 0 if layout == "NCHW" else 2
        other = (2, 0, 1) if layout == "NHWC" else (1, 2, 0)
        if _fits(tuple(shape[i] for i in other), expected):
            advice = f"Give --layout {'NHWC' if layout == 'NCHW' else 'NCHW'}"
        elif not _fits(shape[axis : axis + 1], expected[axis : axis + 1]):
            gray = expected[axis] == 1
            advice = f"Give --channels {'GRAY' if gray else 'RGB'}, or the tensors as a .npy file"
        else:
            height, width = [n for i, n in enumerate(expected) if i != axis]
            advice = f"Give --size {width or 'WIDTH'}x{height or 'HEIGHT'}"
        raise InputError(
            f"{printable(place)} makes {_by(shape)}, and input '{self.spec.name}' takes "
            f"{_by(expected)}. {advice}."
        )


def image_converter(
    inputs: Sequence[InputSpec], preprocess: Preprocess, place: str
) -> InputConverter:
    """Return the converter of the model's only input, after a check that images can feed it.

    Raises:
        InputError: The model has several inputs, or its input is no image, or preprocessing
            makes a shape or numbers that it does not take.
    """
    if len(inputs) != 1:
        names = ", ".join(f"'{other.name}'" for other in inputs)
        raise InputError(
            f"{place}: images can feed a model with one input, saw {len(inputs)}: {names}. "
            f"Give a .npz file with an array of each of these names."
        )
    spec = inputs[0]
    if len(spec.shape) != 4:
        raise InputError(
            f"{place}: images make 4 axes, and input '{spec.name}' has {len(spec.shape)}: "
            f"{_by(spec.shape)}. Give the model's own input as a .npy file."
        )
    converter = InputConverter(spec, preprocess)
    if spec.dtype.kind != "f" and (set(preprocess.mean), set(preprocess.std)) != ({0.0}, {1.0}):
        raise InputError(
            f"{place}: input '{spec.name}' takes {spec.dtype}, which cannot hold what --mean and "
            f"--std make. Remove both."
        )
    if preprocess.size is not None:
        converter.must_fit(preprocess.tensor_shape, f"{place}: preprocessing")
    return converter


def refuse_unused(
    preprocess: Preprocess, tensors: Mapping[str, Array], images: bool, place: str
) -> None:
    """Refuse a preprocessing that does not apply to a sample and was not applied to it before.

    Args:
        preprocess: Image to tensor.
        tensors: What the sample feeds to each input.
        images: Whether any of them was an image.
        place: The sample.

    Raises:
        InputError: No image is among them, and no tensor is what the preprocessing makes of pixels.
    """
    if images or preprocess == Preprocess():
        return
    if not any(preprocess.could_give(tensor) for tensor in tensors.values()):
        raise InputError(
            f"{printable(place)}: only uint8 images are preprocessed, these arrays go to the model as "
            "they are, and the preprocessing that was given does not make them. Drop it, or give the "
            "images."
        )


def _is_picture(shape: Shape) -> bool:
    return len(shape) == 2 or (len(shape) == 3 and shape[2] in (1, 3, 4))


def _fits(shape: Shape, expected: Shape) -> bool:
    """Return whether the shapes agree wherever both are known."""
    pairs = zip(shape, expected, strict=False)
    return len(shape) == len(expected) and all(None in (a, b) or a == b for a, b in pairs)


def _by(shape: Shape) -> str:
    return "x".join("?" if n is None else str(n) for n in shape) or "a single number"

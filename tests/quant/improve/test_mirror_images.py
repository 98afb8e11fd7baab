"""Mirror images: of pictures, where there are few."""

import numpy as np

from quant.improve.mirror_images import with_mirror_images


def test_a_picture_is_mirrored_left_to_right_whatever_its_layout() -> None:
    planes = np.arange(2 * 3 * 6 * 5, dtype=np.float32).reshape(2, 3, 6, 5)
    pixels = planes.transpose(0, 2, 3, 1)
    made, same = (with_mirror_images({"x": p}, 4) for p in (planes, pixels))

    assert made is not None
    assert same is not None
    np.testing.assert_array_equal(made["x"][:2], planes)
    np.testing.assert_array_equal(made["x"][2:, :, :, 0], planes[:, :, :, 4])
    np.testing.assert_array_equal(same["x"].transpose(0, 3, 1, 2), made["x"])


def test_what_is_no_picture_or_too_much_is_not_mirrored() -> None:
    picture = np.zeros((2, 3, 4, 5), np.float32)

    assert with_mirror_images({"x": picture, "y": picture}, 99) is None
    assert with_mirror_images({"x": picture}, 3) is None
    assert with_mirror_images({"x": np.zeros((129, 3, 1, 2), np.float32)}, 999) is None
    assert with_mirror_images({"x": np.zeros((2, 7, 5), np.float32)}, 99) is None
    assert with_mirror_images({"x": np.zeros((2, 8, 4, 5), np.float32)}, 99) is None

"""The values of the mapper's configuration for one export."""

__all__ = ["cfg_pairs", "mean_files"]

from collections.abc import Sequence

from quant.export.nnie.files.feeds import Feed

MEAN = "mean.txt"


def cfg_pairs(
    name: str, compile_mode: int, feeds: Sequence[Feed], lists: Sequence[str], *, simulation: bool
) -> list[tuple[str, str]]:
    """Return (key, value) pairs in the order of the mapper's own samples.

    Args:
        name: Stem of the files, ASCII.
        compile_mode: 0: 8 bit; 1: 16 bit; 2: 16 bit in the layers that end in `_hp`.
        feeds: The inputs in the order of the prototxt; each has a group of keys.
        lists: The list file of each feed.
        simulation: The configuration is for the functional simulator on a PC, else for the chip.

    `gfpq_param_file` is left out, because its contents are not public.
    """
    pictures = [feed for feed in feeds if feed.picture]
    scale = pictures[0].norm.data_scale if pictures else 1.0
    pairs = [
        ("prototxt_file", f"./{name}.prototxt"),
        ("caffemodel_file", f"./{name}.caffemodel"),
        ("batch_num", "1"),
        ("net_type", "0"),
        ("sparse_rate", "0"),
        ("compile_mode", str(compile_mode)),
        ("is_simulation", str(int(simulation))),
        ("log_level", "2"),
        ("instruction_name", f"./{name}{'_sim' if simulation else ''}"),
        ("RGB_order", "BGR"),
        ("data_scale", repr(scale)),
        ("internal_stride", "16"),
    ]
    for feed, list_file in zip(feeds, lists, strict=True):
        subtracts = feed.norm.norm_type in (2, 5)
        pairs += [
            ("image_list", f"./{list_file}"),
            ("image_type", "1" if feed.picture else "0"),
            ("norm_type", str(feed.norm.norm_type)),
            ("mean_file", f"./{MEAN}" if subtracts else "null"),
        ]
    return pairs


def mean_files(feeds: Sequence[Feed]) -> dict[str, str]:
    """Return the text of the mean file by name, a number per line; {} where nothing is subtracted.

    One file serves every picture input, because a model has one preprocessing.
    """
    subtracting = [feed for feed in feeds if feed.norm.norm_type in (2, 5)]
    return {MEAN: "".join(f"{m!r}\n" for m in subtracting[0].means)} if subtracting else {}

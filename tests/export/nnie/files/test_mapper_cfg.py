"""The mapper's configuration, compared with samples from which others got a .wk."""

import pytest

from quant.export.nnie.check.cfg import KEYS, check_cfg
from quant.export.nnie.files.cfg_values import cfg_pairs
from quant.export.nnie.files.feeds import NO_NORM, Feed, Norm
from quant.export.nnie.files.mapper_cfg import CHOICES, Cfg, cfg_text, read_cfg
from tests.tree import ROOT

SAMPLES = sorted((ROOT / "tests" / "golden" / "nnie").glob("*.cfg"))
PIXELS = Norm(norm_type=5, mean=(1.0, 2.0, 3.0), data_scale=1 / 58.0)


def feed(norm: Norm, *, picture: bool = True) -> Feed:
    return Feed(input="x", shape=(3, 16, 16), picture=picture, norm=norm, swapped=True)


def written(*feeds: Feed, compile_mode: int = 0, simulation: bool = False) -> Cfg:
    lists = [f"list_{i}.txt" for i, _ in enumerate(feeds)]
    return read_cfg(cfg_text(cfg_pairs("net", compile_mode, feeds, lists, simulation=simulation)))


def keys(cfg: Cfg) -> list[str]:
    return [line.key for line in cfg.lines]


@pytest.mark.parametrize("path", SAMPLES, ids=lambda p: p.stem)
def test_every_key_of_the_samples_is_known_and_legal(path: object) -> None:
    """A check that finds fault with what worked would be wrong."""
    cfg = read_cfg(path.read_text(encoding="utf-8"))  # type: ignore[attr-defined]
    wrong = [f for f in check_cfg(cfg, "x.cfg") if f.rule == "nnie-27"]

    assert not cfg.unparsed
    assert wrong == []
    assert set(keys(cfg)) <= set(KEYS)


def test_a_picture_has_the_keys_of_the_sample_for_pictures_in_its_order() -> None:
    """Sample (a), LeNet with channel means; the last four are one group, in the order of (e)."""
    sample = read_cfg((ROOT / "tests/golden/nnie/lenet.cfg").read_text(encoding="utf-8"))
    mine = keys(written(feed(PIXELS)))

    assert sorted(mine) == sorted(keys(sample))
    assert mine[:12] == keys(sample)[:12]
    assert mine[12:] == ["image_list", "image_type", "norm_type", "mean_file"]


def test_every_value_is_what_the_network_needs() -> None:
    cfg = written(feed(PIXELS), compile_mode=2, simulation=True)

    assert {line.key: line.value for line in cfg.lines} == {
        "prototxt_file": "./net.prototxt",
        "caffemodel_file": "./net.caffemodel",
        "batch_num": "1",
        "net_type": "0",
        "sparse_rate": "0",
        "compile_mode": "2",
        "is_simulation": "1",
        "log_level": "2",
        "instruction_name": "./net_sim",
        "RGB_order": "BGR",
        "data_scale": "0.017241379310344827",
        "internal_stride": "16",
        "image_list": "./list_0.txt",
        "image_type": "1",
        "norm_type": "5",
        "mean_file": "./mean.txt",
    }


def test_a_tensor_input_has_the_group_of_the_sample_for_tensors() -> None:
    """Sample (f): S32 input, no normalization, a mean file that is none."""
    sample = read_cfg((ROOT / "tests/golden/nnie/tensor.cfg").read_text(encoding="utf-8"))
    cfg = written(feed(NO_NORM, picture=False))

    for key in ("image_type", "norm_type", "mean_file", "net_type"):
        assert cfg.get(key) == sample.get(key)


def test_each_input_has_a_group_and_the_scale_stands_once() -> None:
    """Sample (e) has three groups."""
    cfg = written(feed(PIXELS), feed(NO_NORM, picture=False), feed(PIXELS))

    assert [line.value for line in cfg.lines_of("image_type")] == ["1", "0", "1"]
    assert [line.value for line in cfg.lines_of("image_list")] == [
        "./list_0.txt",
        "./list_1.txt",
        "./list_2.txt",
    ]
    assert len(cfg.lines_of("data_scale")) == len(cfg.lines_of("RGB_order")) == 1


def test_only_keys_with_a_legal_value_are_written_and_no_gfpq_file() -> None:
    """`gfpq_param_file` has no public contents, `align_bytes` is only a label of the GUI."""
    cfg = written(feed(PIXELS))

    assert not {"gfpq_param_file", "align_bytes"} & set(keys(cfg))
    assert [k for k in CHOICES if cfg.lines_of(k) and cfg.get(k) not in CHOICES[k]] == []
    assert check_cfg(cfg, "net.cfg") == []


def test_odd_lines_are_kept_apart_and_numbered() -> None:
    cfg = read_cfg("\ufeff[a]  1 \r\n# note\n\n[b]\n[ c ]x y\n")

    assert [(line.key, line.value, line.number) for line in cfg.lines] == [
        ("a", "1", 1),
        ("b", "", 4),
        ("c", "x y", 5),
    ]
    assert cfg.unparsed == ((2, "# note"),)
    assert cfg.get("d", "none") == "none"


def test_the_text_has_plain_line_ends_and_no_value_can_add_a_line() -> None:
    assert cfg_text([("a", "1"), ("b", "x y")]) == "[a] 1\n[b] x y\n"
    for value in ("1\n[compile_mode] 2", "x ", "\r"):
        with pytest.raises(ValueError, match="would not read back"):
            cfg_text([("a", value)])

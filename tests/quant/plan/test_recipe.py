"""Recipe: the first match decides, and what would pass silently is refused with its line."""

from pathlib import Path

import pytest

from quant.common.errors import InputError
from quant.plan.recipe import NOTHING, Recipe, Rule, load_recipe

OBSERVERS = ("minmax", "mse")
NODES = [("Conv_0", "Conv"), ("Conv_1", "Conv"), ("fc", "Gemm")]


def loaded(text: str, folder: Path) -> Recipe:
    path = folder / "r.toml"
    path.write_text(text, encoding="utf-8")
    return load_recipe(path, OBSERVERS)


def test_a_table_of_another_name_is_no_key_of_a_rule(tmp_path: Path) -> None:
    """Who writes [[rules]] looks for the mistake inside the rule."""
    path = tmp_path / "r.toml"
    path.write_text('[[rules]]\nop = "Conv"\nprecision = "float"\n')
    with pytest.raises(InputError) as caught:
        load_recipe(path, [])

    assert str(caught.value) == (
        f"{path}: a recipe has defaults and [[rule]] tables, saw the table 'rules'. Write [[rule]]."
    )


def test_the_first_rule_that_speaks_of_a_question_decides(tmp_path: Path) -> None:
    recipe = loaded(
        """
        observer = "mse"
        [[rule]]
        match = "Conv_0"
        precision = "float"
        [[rule]]
        op = "Co*"
        precision = "int8"
        observer = "minmax"
        """,
        tmp_path,
    )

    assert recipe.wants("Conv_0", "Conv", "precision") == "float"
    assert recipe.wants("Conv_0", "Conv", "observer") == "minmax"  # the next rule was asked
    assert recipe.wants("Conv_1", "Conv", "precision") == "int8"
    assert recipe.wants("fc", "Gemm", "precision") is None
    assert recipe.wants("fc", "Gemm", "observer") == "mse"
    assert [rule.line for rule in recipe.rules] == [3, 6]


def test_a_rule_needs_both_its_name_and_its_type(tmp_path: Path) -> None:
    recipe = loaded('[[rule]]\nmatch = "Conv_?"\nop = "Gemm"\nprecision = "float"', tmp_path)

    assert recipe.wants("Conv_0", "Conv", "precision") is None
    assert recipe.wants("Conv_0", "Gemm", "precision") == "float"


def test_letters_of_another_case_do_not_match() -> None:
    """`fnmatch` folds case on Windows, and a recipe means the same everywhere."""
    assert not Rule(match="conv*").applies("Conv_0", "Conv")


def test_an_empty_file_decides_nothing(tmp_path: Path) -> None:
    recipe = loaded("", tmp_path)

    assert recipe.rules == NOTHING.rules
    assert recipe.wants("fc", "Gemm", "weights") is None


def test_a_rule_that_matches_nothing_says_what_there_was() -> None:
    recipe = Recipe(rules=(Rule(match="conv_0", line=3),), path="r.toml")

    with pytest.raises(InputError) as caught:
        recipe.check(NODES)

    assert str(caught.value) == (
        "r.toml:3: rule 'conv_0' decides for none of the 3 nodes, for example 'Conv_0'. "
        "Mend the pattern, or remove the rule."
    )


def test_a_type_that_matches_nothing_gets_the_nearest_type() -> None:
    recipe = Recipe(rules=(Rule(op="Gem", line=7),), path="r.toml")

    with pytest.raises(InputError) as caught:
        recipe.check(NODES)

    assert str(caught.value) == (
        "r.toml:7: rule 'Gem' decides for none of the 3 nodes, for example 'Gemm'. "
        "Mend the pattern, or remove the rule."
    )


def test_the_defaults_need_no_match_and_rules_that_match_pass() -> None:
    recipe = Recipe(rules=(Rule(match="fc"), Rule(op="Conv")), defaults=Rule(observer="mse"))

    recipe.check(NODES)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            '[[rule]]\nmatch = "fc"',
            (
                "{path}:1: a rule must decide something, saw only match. Add precision, observer, "
                "weights, weight_observer, bias_correction, rounding, equalization, smoothing, products, "
                "pixel_grid, range_search or float_precision."
            ),
        ),
        (
            '[[rule]]\nmatch = "a"\nprecison = "float"',
            (
                "{path}:1: a rule has no 'precison'. Did you mean 'precision'? Known: "
                "bias_correction, equalization, float_precision, match, observer, op, pixel_grid, "
                "precision, products, range_search, rounding, smoothing, target, weight_observer, weights."
            ),
        ),
        (
            "zzz = 1",
            (
                "{path}:1: a rule has no 'zzz'. Known: "
                "bias_correction, equalization, float_precision, match, observer, op, pixel_grid, "
                "precision, products, range_search, rounding, smoothing, target, weight_observer, weights."
            ),
        ),
        (
            '\n\n[[rule]]\nline = "4"',
            (
                "{path}:3: a rule has no 'line'. Known: "
                "bias_correction, equalization, float_precision, match, observer, op, pixel_grid, "
                "precision, products, range_search, rounding, smoothing, target, weight_observer, weights."
            ),
        ),
        (
            '[[rule]]\nprecision = "int4"',
            (
                "{path}:1: precision is one of: float, float16, float32, fp8, int16, int8, w4a4, "
                "w4a8, w8a16; saw 'int4'. Choose one of them."
            ),
        ),
        (
            'observer = "mean"',
            "{path}:1: observer is one of: minmax, mse; saw 'mean'. Choose one of them.",
        ),
        (
            '[[rule]]\nweights = "per-row"',
            (
                "{path}:1: weights is one of: per-channel, per-tensor; saw 'per-row'. "
                "Choose one of them."
            ),
        ),
        (
            '[[rule]]\nweight_observer = "kl"',
            "{path}:1: weight_observer is one of: minmax, mse; saw 'kl'. Choose one of them.",
        ),
        (
            "[[rule]]\nbias_correction = true",
            "{path}:1: bias_correction is one of: off, on; saw 'True'. Choose one of them.",
        ),
        (
            "[[rule]]\nmatch = 3",
            "{path}:1: match is one of: a text; saw '3'. Choose one of them.",
        ),
        (
            '[rule]\nmatch = "a"',
            "{path}: rules are written as [[rule]], saw [rule]. Double the brackets.",
        ),
        ("rule = [1]", "{path}: rules are written as [[rule]], saw [rule]. Double the brackets."),
        ('match = "a"', "{path}:1: match, op and target belong in a [[rule]]. Move them there."),
    ],
)
def test_what_a_recipe_may_not_say(text: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        loaded(text, tmp_path)

    assert str(caught.value) == said.format(path=tmp_path / "r.toml")


def test_a_file_that_is_no_toml_or_is_missing_says_so(tmp_path: Path) -> None:
    with pytest.raises(
        InputError, match=r"r\.toml: a recipe is a TOML file: .*\. Mend the file\.$"
    ):
        loaded("a = = 1", tmp_path)
    with pytest.raises(
        InputError, match=r"no\.toml: a recipe is a TOML file: .*there is no such file"
    ):
        load_recipe(tmp_path / "no.toml", OBSERVERS)
    (tmp_path / "b.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(InputError, match=r"b\.toml: a recipe is a TOML file: "):
        load_recipe(tmp_path / "b.toml", OBSERVERS)

"""The project keeps its promises to a stranger: names, README, quickstart, tables."""

import ast
import re
import runpy
import sys
from pathlib import Path

import matplotlib.pyplot as plt
import pytest

import smreg

ROOT = Path(__file__).parents[1]
EXAMPLES = ROOT / "examples"
README = (ROOT / "README.md").read_text()
INDEX = (EXAMPLES / "README.md").read_text()
SCRIPTS = [EXAMPLES / "quickstart.py", *sorted(EXAMPLES.glob("plot_*.py"))]


def quickstart_as_printed(capsys, output):
    main = runpy.run_path(str(EXAMPLES / "quickstart.py"))["main"]
    main(["--output", str(output)])
    return capsys.readouterr().out


def test_the_public_names_are_sorted_and_there():
    assert smreg.__all__ == sorted(smreg.__all__)
    assert all(hasattr(smreg, name) for name in smreg.__all__)


def test_the_top_level_holds_what_it_should_and_nothing_else():
    allowed = {"pyproject.toml", "smreg", "tests", "examples", "datasets", "README.md", "LICENSE"}

    assert {path.name for path in ROOT.iterdir() if not path.name.startswith(".")} <= allowed


def test_the_paths_that_the_readme_names_exist():
    for path in re.findall(r"\]\(((?!http)[^)]+)\)", README):
        assert (ROOT / path).exists(), path


def test_the_paths_that_the_page_for_contributors_names_exist():
    page = (ROOT / ".github" / "CONTRIBUTING.md").read_text()
    links = re.findall(r"\]\(\.\./([^)]+)\)", page)
    paths = re.findall(r"`((?:smreg|tests|examples)/[\w/.]+)`", page)

    assert len(links) + len(paths) > 25
    for path in links + paths:
        assert (ROOT / path).exists(), path


def test_whoever_contributes_finds_each_name_where_the_page_says():
    """A line of its table names a file and, after a comma, what is there."""
    page = (ROOT / ".github" / "CONTRIBUTING.md").read_text()
    named = re.findall(r"`(smreg/[\w/]+\.py)`, `([\w.]+)`", page)

    assert len(named) > 5
    for path, name in named:
        assert re.search(rf"(def|class) {name.split('.')[-1]}\b", (ROOT / path).read_text()), (path, name)


def private_imports(source):
    """Names that a source imports from scikit-learn's private modules, or that are private themselves."""
    imported = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            imported += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            imported += [f"{node.module}.{alias.name}" for alias in node.names]
    return [name for name in imported if re.match(r"sklearn\b.*\._", name)]


def test_only_one_file_imports_private_names_of_scikit_learn():
    sources = {str(path.relative_to(ROOT)): path.read_text() for path in (ROOT / "smreg").rglob("*.py")}

    assert [path for path, source in sources.items() if private_imports(source)] == ["smreg/_sklearn.py"]


@pytest.mark.parametrize(
    ("source", "n_private"),
    [
        ("from sklearn.base import BaseEstimator, _fit_context", 1),
        ("import sklearn.utils._param_validation", 1),
        ("from sklearn.utils._param_validation import Interval, StrOptions", 2),
        ("from smreg._sklearn import Interval", 0),
        ("from sklearn.utils import check_array", 0),
    ],
)
def test_a_private_import_is_one_from_a_private_module_or_of_a_private_name(source, n_private):
    assert len(private_imports(source)) == n_private


# Words for which the field has others ("full fit", "refresh" ...), also as parts of names.
PRIVATE_WORDS = (
    "renewals?|ways?|trails?|leaders?|beside|wholes?|look(s|ed|ing)?|seen|misled|drown(s|ed)?|blind|heard|skis?|"
    "tells?|telling|told|deficits?|corners?|settled|say the same|(has|have|had) (a|its|their) say"
)
LEGITIMATE = (
    "seen in `fit`",
    "it has not seen",
    "logits look like probabilities",
    "class beside the reference",
    "whole step",
    "whole function",
    "colour-blind",
)
ROOMS = sorted(path.name for path in (ROOT / "smreg").iterdir() if path.is_dir() and path.name[0] != "_")


def private_words(source):
    """Words of the list, whole or between underscores, outside of legitimate phrases."""
    for phrase in LEGITIMATE:
        source = source.replace(phrase, "")
    found = re.finditer(rf"(?<![a-z])({PRIVATE_WORDS})(?![a-z])", source, re.IGNORECASE)
    return [match[0] for match in found]


@pytest.mark.parametrize("room", [".", *ROOMS])
def test_the_sources_use_the_words_of_the_field(room):
    place = ROOT / "smreg" / room
    paths = sorted(place.glob("*.py") if room == "." else place.rglob("*.py"))

    assert paths
    assert {str(path.relative_to(ROOT)): private_words(path.read_text()) for path in paths} == {
        str(path.relative_to(ROOT)): [] for path in paths
    }


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("def is_seen_from(look): told = FIRST_LOOK", ["seen", "look", "told", "LOOK"]),
        ("always; besides; the foreseen; Number of features seen in `fit`.", []),
        ("before a feature has its say", ["has its say"]),
    ],
)
def test_a_private_word_is_found_in_text_and_in_names(source, words):
    assert private_words(source) == words


@pytest.mark.slow
def test_the_quickstart_prints_what_the_readme_shows_and_saves_its_picture(capsys, tmp_path):
    """Word for word, but for numbers (another machine's seconds, another libm's digits) and the path."""
    printed = quickstart_as_printed(capsys, tmp_path)
    shown = re.search(r"<!-- quickstart -->\n```text\n(.*?)```", README, re.DOTALL).group(1)

    def words(text):
        text = re.sub(r"picture: .*", "picture", text)
        return re.sub(r"-?\d[\d.e+-]*", "#", text).split()

    assert words(printed) == words(shown)
    assert (tmp_path / "quickstart.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.stem)
def test_the_index_shows_an_example_with_a_small_picture(script):
    name = script.stem.removeprefix("plot_")
    [row] = [line for line in INDEX.splitlines() if f"]({script.name})" in line]
    picture = EXAMPLES / "images" / f"{name}_small.png"

    assert f"(images/{picture.name})" in row
    assert picture.stat().st_size < 20_000
    assert plt.imread(picture).shape[1] == 240


@pytest.mark.slow
@pytest.mark.parametrize("script", sorted(EXAMPLES.glob("plot_*.py")), ids=lambda script: script.stem)
def test_an_example_runs_and_saves_its_pictures(script, monkeypatch, tmp_path):
    monkeypatch.setattr(sys, "argv", [str(script), "--output", str(tmp_path)])
    runpy.run_path(str(script), run_name="__main__")
    plt.close("all")
    pictures = list(tmp_path.iterdir())

    assert pictures
    for picture in pictures:
        assert picture.name.startswith(script.stem.removeprefix("plot_"))
        assert picture.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("name", "rows", "columns", "target", "n_classes"),
    [
        ("wine.csv", 178, 14, "cultivar", 3),
        ("iris.csv", 150, 5, "species", 3),
        ("anes96.csv", 944, 11, "PID", 7),
        ("digits.csv.gz", 1797, 65, "digit", 10),
    ],
)
def test_the_tables_are_whole(table, name, rows, columns, target, n_classes):
    frame = table(name)

    assert frame.shape == (rows, columns)
    assert frame[target].nunique() == n_classes
    assert not frame.isna().any(axis=None)
    assert name in (ROOT / "datasets" / "README.md").read_text()

"""What the default images are, and which languages they are for."""

from __future__ import annotations

import msgspec
import pytest

from interpreter_tools import LanguageRegistry, UnknownLanguage
from interpreter_tools.setup.build import first_words
from interpreter_tools.setup.images import choose_targets, image_of
from interpreter_tools.setup.recipes import NODE, PYTHON, RECIPES, RUBY, SHELL, find_recipe, image_variables


@pytest.fixture(autouse=True)
def _no_overrides(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in LanguageRegistry.names():
        monkeypatch.delenv(f"INTERPRETER_TOOLS_IMAGE_{name.upper()}", raising=False)


def test_every_language_has_a_recipe_for_its_default_image():
    """The set-up knows how to make what the engine looks for."""
    for name in LanguageRegistry.names():
        recipe = find_recipe(LanguageRegistry.get(name).default_image)
        assert recipe is not None
        assert name in recipe.languages


def test_nothing_named_means_the_languages_that_are_built_in():
    """Each image once, though two languages share it."""
    assert choose_targets(()) == [PYTHON, NODE, SHELL]


@pytest.mark.parametrize(
    ("name", "target"),
    [
        ("typescript", NODE),
        ("js", NODE),
        ("bash", SHELL),
        ("ruby", RUBY),
        ("interpreter-tools/python:1", PYTHON),
        ("registry.example/tools/lua:5", "registry.example/tools/lua:5"),
        ("alpine:3", "alpine:3"),
    ],
)
def test_languages_aliases_and_images_can_be_named(name: str, target: object):
    """Names of ours mean recipes, others with a tag, path or digest mean images of a registry."""
    assert choose_targets([name]) == [target]


def test_a_bare_unknown_word_is_refused():
    """It is more likely a misspelt language than an image."""
    with pytest.raises(UnknownLanguage, match="pyhton"):
        choose_targets(["pyhton"])


def test_the_environments_image_is_what_is_made_ready(monkeypatch: pytest.MonkeyPatch):
    """The same variable that the engine heeds."""
    monkeypatch.setenv("INTERPRETER_TOOLS_IMAGE_PYTHON", "registry.example/python:3")
    assert [image_of(target) for target in choose_targets(["py", "node"])] == ["registry.example/python:3", NODE.image]


def test_recipe_that_changes_has_another_digest():
    """So that set-up makes an image again that an older release of ours made."""
    assert len({recipe.digest for recipe in RECIPES}) == len(RECIPES)
    assert msgspec.structs.replace(NODE, packages=("nodejs",)).digest != NODE.digest


def test_recipes_do_not_share_names():
    """Each name leads to one image."""
    names = [name for recipe in RECIPES for name in {recipe.name, recipe.image, *recipe.languages}]
    assert len(names) == len(set(names))


def test_programs_are_told_of_certificates_only_where_there_are_some():
    """A variable that names a missing file breaks TLS altogether."""
    assert image_variables(SHELL, with_bundle=False) == {"LANG": "C.UTF-8"}
    assert image_variables(SHELL, with_bundle=True)["NODE_EXTRA_CA_CERTS"] == "/etc/ssl/certs/ca-certificates.crt"


def test_progress_tells_the_line_of_a_command_that_says_something():
    """Commands of several lines begin with an empty one, and a report has one line."""
    assert first_words("\n\nprintf 1 >/etc/x\necho 2\n") == "printf 1 >/etc/x"
    for recipe in RECIPES:
        assert all(first_words(command) for command in (*recipe.commands, *recipe.additions))

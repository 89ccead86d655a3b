"""The packages that a run needs, with the key of their place."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import msgspec

from interpreter_tools._container.shape import Shape
from interpreter_tools._docker.spec import STORE_DIRECTORY
from interpreter_tools._languages import DependencyPlan, Need
from interpreter_tools._languages.specifiers import without_hashes

if TYPE_CHECKING:
    from interpreter_tools._dependencies.indexes import IndexSettings

_FORMAT = 2  # of what an installer leaves in the store; another number makes every set of packages a new one
_ENCODER = msgspec.json.Encoder(order="sorted")

DERIVED_REPOSITORY = "interpreter-tools-deps"
"""Images with system packages: their tag is the key."""


class Requirement(msgspec.Struct, frozen=True, kw_only=True):
    """Packages for one language in one image.

    Attributes:
        key: 64 hexadecimal digits; equal for what is the same on every machine and at every time.
        language: the language's name.
        packages: normalised specifiers.
        plan: how they are installed.
        shape: the containers that the run is for.
        store: the volume that keeps them; images with system packages belong to it by a label.
    """

    key: str
    language: str
    packages: tuple[str, ...]
    plan: DependencyPlan
    shape: Shape
    store: str

    @property
    def need(self) -> Need:
        """The request to the supervisor."""
        link, path = self.plan.link or ("", "")
        return Need(key=self.key, target=f"{STORE_DIRECTORY}/{self.key}", link=link, path=path)

    @property
    def image(self) -> str:
        """The image that holds system packages."""
        return f"{DERIVED_REPOSITORY}:{self.key}"

    def manifest(self) -> bytes:
        """Return the manifest of the entry."""
        packages = tuple(map(without_hashes, self.packages))
        return _ENCODER.encode({"language": self.language, "packages": packages, "image": self.shape.image})


def make_requirement(
    language: str,
    plan: DependencyPlan,
    packages: tuple[str, ...],
    shape: Shape,
    settings: IndexSettings,
    *,
    store: str,
    base: str = "",
) -> Requirement:
    """Return a requirement with its key.

    The language's name is no part of the key, what installs for it is: JavaScript and TypeScript share their packages.

    Args:
        language: the language's name.
        plan: how packages are installed.
        packages: normalised specifiers.
        shape: the containers that the run is for.
        settings: where packages come from.
        store: the volume that keeps them.
        base: the key of the derived image that the containers are made from: it is the same when that image is built
            anew, which its digest is not. Empty means that the image is no derived one.
    """
    how = (plan.kind, plan.install, plan.environment)
    parts = (_FORMAT, base or shape.image_id, how, packages, settings.index, store if plan.kind == "system" else "")
    key = hashlib.sha256(_ENCODER.encode(parts)).hexdigest()
    return Requirement(key=key, language=language, packages=packages, plan=plan, shape=shape, store=store)

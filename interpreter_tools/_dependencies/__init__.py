"""Packages that code uses: installed once, kept in a store that every sandbox reads."""

from interpreter_tools._dependencies.installs import Installs, Ticket, add_own_dependencies, check_dependencies
from interpreter_tools._dependencies.requirement import DERIVED_REPOSITORY, Requirement
from interpreter_tools._dependencies.store import StoreEntry, choose, evict, list_store

__all__ = [
    "DERIVED_REPOSITORY",
    "Installs",
    "Requirement",
    "StoreEntry",
    "Ticket",
    "add_own_dependencies",
    "check_dependencies",
    "choose",
    "evict",
    "list_store",
]

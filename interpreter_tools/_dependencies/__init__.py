"""Packages that code uses: installed once, kept in a store that every sandbox reads."""

from interpreter_tools._dependencies.installs import Installs, Ticket, check_packages
from interpreter_tools._dependencies.requirement import DERIVED_REPOSITORY, Requirement
from interpreter_tools._dependencies.store import StoreEntry, choose, evict, list_store
from interpreter_tools._dependencies.wanted import Packages

__all__ = [
    "DERIVED_REPOSITORY",
    "Installs",
    "Packages",
    "Requirement",
    "StoreEntry",
    "Ticket",
    "check_packages",
    "choose",
    "evict",
    "list_store",
]

"""Faces of the tool for frameworks, one file each; each needs the extra of its name."""

"""Padding and repeating."""

__all__: list[str] = []

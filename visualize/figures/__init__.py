"""Figures as PNG, SVG and CSV."""

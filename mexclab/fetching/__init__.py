"""Bars from exchanges into the lake: downloads, live bars, repairs."""

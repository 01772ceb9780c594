"""Plug-ins that turn a signal into a plan."""

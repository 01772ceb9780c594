"""Plug-ins that know a sign of a coming listing; see ``mexclab.patterns.registry``."""

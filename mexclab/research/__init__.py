"""Research: pure functions on arrays of market history. Nothing here reads a file or a socket.

Import what you need from the module that is named for it, for example
``from mexclab.research.similarity import similar``.
"""

"""What a trader would recognise: frozen values, stdlib only.

Money and quantities are ``Decimal``. Times are integers: nanoseconds since the Unix epoch, UTC, in
names that end in ``_ns``. Nothing here reads a clock, a file or a socket.
"""

"""A desk to ask, and clients that are closed in the end."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import TypeAlias

import pytest
from IPython.core.interactiveshell import InteractiveShell

from mexclab.daemon import api
from mexclab.notebook.address import Address
from mexclab.notebook.desk import DeskClient
from tests.notebook.station import TOKEN, Desk, served

ClientOf: TypeAlias = Callable[..., DeskClient]


@pytest.fixture
def shell() -> Iterator[InteractiveShell]:
    InteractiveShell.clear_instance()
    yield InteractiveShell.instance()
    InteractiveShell.clear_instance()


@pytest.fixture
def desk() -> Desk:
    return Desk()


@pytest.fixture
def url(desk: Desk) -> Iterator[str]:
    with served(api.build(desk)) as url:
        yield url


@pytest.fixture
def client_of() -> Iterator[ClientOf]:
    """Makes clients of an address, and closes them in the end."""
    with ExitStack() as stack:

        def make(url: str, token: str = TOKEN, deadline_s: float = 60.0) -> DeskClient:
            client = DeskClient(lambda: Address(url, token), by="alice", deadline_s=deadline_s)
            return stack.enter_context(client)

        yield make

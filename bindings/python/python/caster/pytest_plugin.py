"""The plugin for pytest: the fixture `caster_network`. It needs no configuration."""

from __future__ import annotations

import pytest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Iterator

    from .testing import Network


@pytest.fixture
def caster_network(request: pytest.FixtureRequest) -> Iterator[Network]:
    """A network in memory with a clock of its own, a `caster.testing.Network`.

    All of its nodes and casters are closed at the end of the test. The seed is 0; others are given
    by `@pytest.mark.parametrize("caster_network", [1, 2], indirect=True)`.
    """
    from .testing import Network

    with Network(getattr(request, "param", 0)) as network:
        yield network

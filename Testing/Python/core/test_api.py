"""The door for Python programs: every promised name is there."""

from __future__ import annotations

import pytest

from medcontext import api


@pytest.mark.parametrize("name", api.__all__)
def test_each_name_is_what_it_says(name: str) -> None:
    value = getattr(api, name)
    assert callable(value)
    assert value.__doc__


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="segmentt"):
        api.segmentt  # noqa: B018

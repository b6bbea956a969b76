"""What a codec of a host must know of the core's own."""

from __future__ import annotations

from typing import Final

from toolslot._codec import CONTAINER
from toolslot._codec._tags import LEAVES

#: what a list or a mapping counts, where another item counts one: for `weight_exceeds` and `MAX_WEIGHT`
CONTAINER_WEIGHT: Final = CONTAINER

#: the built-in classes that hold no other values, and whose values `JsonCodec` gives back as they were
PLAIN_TYPES: Final[frozenset[type]] = frozenset({type(None), bool, int, float, str, *LEAVES})

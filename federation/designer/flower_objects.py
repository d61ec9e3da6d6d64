"""Private parts of Flower that a designer's machine needs: an update as the objects that are sent, signatures, the clock.

Read from flwr 1.42.0. Nothing else of the designer's touches these names. ``tests/test_rooms.py`` holds that, and fails when
another version is installed: then read them again.
"""

from flwr.supercore.date import now
from flwr.supercore.inflatable.inflatable_object import (
    UnexpectedObjectContentError,
    get_object_id,
    get_object_type_from_object_content,
    iterate_object_tree,
)
from flwr.supercore.inflatable.inflatable_utils import inflate_object_from_contents, validate_object_content
from flwr.supercore.primitives.asymmetric import public_key_to_bytes, sign_message

READ_FROM = "1.42.0"

__all__ = [
    "UnexpectedObjectContentError",
    "get_object_id",
    "get_object_type_from_object_content",
    "inflate_object_from_contents",
    "iterate_object_tree",
    "now",
    "public_key_to_bytes",
    "sign_message",
    "validate_object_content",
]

"""A server that stores lie on."""

from tests.support.network.shelves import moto_shelf, s3

__all__ = ["moto_shelf", "s3"]

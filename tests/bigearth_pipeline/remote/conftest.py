"""Servers that stores lie on."""

from tests.support.network.shelves import moto_shelf, nginx_shelf, s3, s3rver_shelf, shelf

__all__ = ["moto_shelf", "nginx_shelf", "s3", "s3rver_shelf", "shelf"]

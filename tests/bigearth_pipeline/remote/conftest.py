"""Servers that stores lie on."""

from tests.support.network.shelves import bucket, moto_shelf, nginx_shelf, s3, s3rver_shelf, shelf

__all__ = ["bucket", "moto_shelf", "nginx_shelf", "s3", "s3rver_shelf", "shelf"]

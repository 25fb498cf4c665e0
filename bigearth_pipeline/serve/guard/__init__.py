"""Checks of every request before a route sees it, and headers of every answer: plain ASGI around the application.

What a route allows in its own parameters belongs to the route.
"""

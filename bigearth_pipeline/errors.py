"""Errors of the pipeline, for people: one line that names the thing, the expectation and the fact."""

from shards.errors import BepError


class PipelineError(BepError):
    """Work cannot continue: missing source, unreadable table, a full disk, a refused option."""


class BadPatch(BepError):
    """A patch of the source cannot be used; the message is the reason that goes into the quarantine list."""


class BadScene(PipelineError):
    """A scene cannot be used: a band is missing, damaged, or not where the others are; or nothing says what it is."""

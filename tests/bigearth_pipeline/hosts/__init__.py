"""Builds and trainings on several hosts, that is namespaces of Linux."""

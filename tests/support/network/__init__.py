"""Servers on this machine, and the browser that opens their pages."""

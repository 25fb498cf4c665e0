"""Charts as SVG by matplotlib, in one look whose colours follow the page: a function a chart, numbers in, SVG out.

What is counted and how a caption reads belongs to the sections that call them.
"""

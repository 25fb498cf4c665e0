"""Pages as data, and their one rendering: a self-contained HTML file for light, dark, phone, screen and paper.

`blocks` is what a page consists of; `render` makes the file of it, with the template, style and script beside it.
"""

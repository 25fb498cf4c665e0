"""Attribution methods, one a file, all by Captum: a network, images and classes in, maps and weights of bands out.

`registry` lists them. Importing a method imports Captum, which the extra `explain` installs.
"""

"""Results for users: map, table, STAC item and picture, made from the units alone.

So their bytes follow from the units, whatever the order and the number of threads in which these were predicted.
"""

"""Pictures of the README, of synthetic data alone: `data` runs the commands, `shots` photographs what they write.

`python -m tools.gallery OUT` makes all of them anew; `pictures/` holds those that the README shows.
"""

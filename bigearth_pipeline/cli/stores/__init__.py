"""Commands that make stores, check them and show what they hold.

Building is in `bigearth_pipeline.build`, checking in `bigearth_pipeline.verify`; none of these commands loads torch.
"""

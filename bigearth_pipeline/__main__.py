"""`python -m bigearth_pipeline` is `bep`."""

from bigearth_pipeline.cli import main

main(prog_name="bep")

"""The options of a run, each stated once: default, choices, range, unit and help, by table of the configuration.

Types, checks, files and the command line follow from here. Whether an option has an effect beside others belongs to
`trainer.config`; nothing here imports more than the standard library, so that help costs no time.
"""

"""Files from HTTP servers: in pieces by several connections, checked as they come, and resumed where they were cut.

`client` asks for ranges and decides what an answer means, `pieces` has threads fetch them in order, `disk` keeps
them, `files` makes whole files of them. What the bytes hold, and which files there are, does not belong here.
"""

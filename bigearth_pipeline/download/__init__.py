"""Files from HTTP servers and object storage: in pieces by several connections, checked as they come, and resumed.

`client` asks a server for ranges and decides what an answer means, `objects` does so in object storage, `pieces` has
threads fetch them in order, `disk` keeps them, `files` makes whole files of them. What the bytes hold, and which files
there are, does not belong here.
"""

"""`bep serve`: stores, runs and predicted scenes in a browser, from a server on this machine.

`server` runs it, `app` puts it together; `routes` speaks HTTP, `guard` refuses requests, `static` is the page.
What routes answer is computed in the other folders, which know nothing of HTTP.
"""

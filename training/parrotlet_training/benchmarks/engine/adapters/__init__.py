"""One module per way to run the weights, each with a class `Adapter`.

They run as programs of their own, some by an interpreter that has no Parrotlet: `host.py` is
started by its path, so those for peers import nothing of this package.
"""

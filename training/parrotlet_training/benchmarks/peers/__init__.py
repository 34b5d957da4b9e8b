"""Training loops of others, written anew from what they published, to measure ours beside them.

Each runs in a process of its own and is stopped and let go by the same gate. See `worker`.
"""

"""From anyone's Python to a folder of clean, documented shards."""

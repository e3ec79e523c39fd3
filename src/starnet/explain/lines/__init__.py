"""Tables of strong lines, made by ``benchmarks/strong_lines.py``; see `explain.KnownLines`."""

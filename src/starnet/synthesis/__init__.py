"""From labels to spectra: what a synthesizer is made of.

Line lists (`starnet.synthesis.lines`), model atmospheres (`starnet.synthesis.atmospheres`) and
the instrument that observes clean spectra (`starnet.synthesis.observe`). The engine that joins
them is not there yet.
"""
